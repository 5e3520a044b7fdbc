// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPServer
import Metering
import MeteringAPI
import TestSupport
import Testing

extension Harness {
    /// A request of a guest, or of whoever has a key.
    func ask(
        _ method: HTTPMethod, _ path: String, _ body: String = "", guest: String? = nil,
        secret: String? = nil, headers: [String: String] = [:]
    ) async -> Answer {
        var fields = ["Authorization": secret.map { "Bearer \($0)" } ?? absent]
        if let guest { fields["X-Guest-ID"] = guest }
        if !body.isEmpty { fields["Content-Type"] = "application/json" }
        return await send(
            .authorized(
                method, path, headers: fields.merging(headers) { $1 }, body: Array(body.utf8)))
    }

    func secret(of subject: String) async throws -> String {
        let made = await send(
            .post, "/v1/keys", #"{"role":"self","name":"x","subject":\#(quoted(subject))}"#)
        return try #require(made.json["secret"] as? String)
    }
}

private let zeros =
    """
    {"total_files_uploaded":0,"total_files_processed":0,"total_files_failed":0,\
    "total_files_downloaded":0,"total_input_size_mb":0,"total_output_size_mb":0,\
    "average_file_size_mb":0,"total_processing_time_minutes":0,\
    "average_processing_time_seconds":0,"processing_types_breakdown":{},\
    "success_rate_percent":0,"first_upload_at":null,"last_upload_at":null,\
    "last_download_at":null,"last_api_call_at":null,"api_calls_count":0,"user_type":"guest"}
    """

@Suite(.timeLimit(.minutes(15))) struct GuestGuideTests {
    /// The guide's testing steps, for a user.
    @Test func `Each step of the guide is counted`() async throws {
        try await withAPI { _, api, _ in
            let secret = try await api.secret(of: "7")
            func track(_ what: String, _ body: String = "") async -> Answer {
                await api.ask(.post, "/usage/track/\(what)", body, secret: secret)
            }
            func me() async -> Answer { await api.ask(.get, "/usage/me", secret: secret) }
            let first = await track(
                "upload", #"{"file_size":3145728,"processing_type":"speech_enhancement"}"#)
            #expect(first.status == 200, "\(first.text)")
            #expect(await me().json["total_files_uploaded"] as? Int == 1)
            api.clock.advance(60_000)
            _ = await track("upload", #"{"file_size":1048576,"processing_type":"noise_reduction"}"#)
            _ = await track("upload", #"{"file_size":524288}"#)
            _ = await track(
                "processing",
                #"{"processing_time":90.0004,"output_file_size":2097152,"success":true}"#)
            _ = await track("processing", #"{"processing_time":45.5,"success":true}"#)
            let failed = await track(
                "processing", #"{"processing_time":1e-05,"output_file_size":0,"success":false}"#)
            #expect(failed.status == 200, "\(failed.text)")
            api.clock.advance(60_000)
            #expect(await track("download").status == 200)
            _ = await track("download", "{}")
            api.clock.advance(60_000)
            _ = await track("api-call")
            #expect(
                await me().text
                    == """
                    {"total_files_uploaded":3,"total_files_processed":2,"total_files_failed":1,\
                    "total_files_downloaded":2,"total_input_size_mb":4.5,\
                    "total_output_size_mb":2,"average_file_size_mb":1.5,\
                    "total_processing_time_minutes":2.26,"average_processing_time_seconds":45.17,\
                    "processing_types_breakdown":{"noise_reduction":1,"speech_enhancement":1},\
                    "success_rate_percent":66.67,"first_upload_at":"2026-11-21T10:00:00Z",\
                    "last_upload_at":"2026-11-21T10:01:00Z",\
                    "last_download_at":"2026-11-21T10:02:00Z",\
                    "last_api_call_at":"2026-11-21T10:03:00Z","api_calls_count":1,\
                    "user_type":"authenticated"}
                    """)
            let limits = await api.ask(.get, "/usage/limits", secret: secret)
            #expect(
                limits.text
                    == """
                    {"files_per_day":{"within_limit":true,"limit":100,"used":3,"remaining":97,\
                    "resets_at":"2026-11-22T00:00:00Z","message":"files_per_day: 3 of 100 used"},\
                    "storage_mb":{"within_limit":true,"limit":1000,"used":4.5,"remaining":995.5,\
                    "resets_at":null,"message":"storage_mb: 4.5 of 1000 used"},\
                    "processing_minutes":{"within_limit":true,"limit":60,"used":2.26,\
                    "remaining":57.74,"resets_at":"2026-12-01T00:00:00Z",\
                    "message":"processing_minutes: 2.26 of 60 used"}}
                    """, "\(limits.text)")
            // The administrator sees the same.
            #expect(await api.get("/usage/admin/user/7").text == (await me()).text)
        }
    }

    @Test func `A guest over its limit is refused, and nothing is counted`() async throws {
        try await withAPI { _, api, redis in
            func upload(_ size: Int = 1_048_576) async -> Answer {
                await api.ask(
                    .post, "/usage/track/upload", #"{"file_size":\#(size)}"#, guest: "g-1")
            }
            #expect(await api.ask(.get, "/usage/me", guest: "g-1").text == zeros)
            for _ in 0..<3 { #expect(await upload().status == 200) }
            // 50 MB are what a guest may store.
            let large = await upload(48 * 1_048_576)
            #expect(large.status == 429)
            #expect(large.detail == "storage_mb: 3 of 50 used, and 48 more is over the limit")
            for _ in 0..<2 { #expect(await upload().status == 200) }
            let before = try redis.request("HGET t1:{default}:subjects guest:g-1")
            let refused = await upload()
            #expect(refused.status == 429 && refused.code == "quota_exceeded")
            #expect(
                refused.detail
                    == "files_per_day: 5 of 5 used, the limit is reached until 2026-11-22T00:00:00Z"
            )
            #expect(refused.headers["retry-after"] == "50400")
            #expect(try redis.request("HGET t1:{default}:subjects guest:g-1") == before)
            let limits = await api.ask(.get, "/usage/limits", guest: "g-1")
            #expect(limits.at("files_per_day", "within_limit") as? Bool == false)
            #expect(limits.at("files_per_day", "remaining") as? Int == 0)
            #expect(limits.at("files_per_day", "message") as? String == refused.detail)
            #expect(limits.at("storage_mb", "within_limit") as? Bool == true)
            // Another guest has its own.
            #expect(
                await api.ask(.post, "/usage/track/upload", #"{"file_size":1}"#, guest: "g-2")
                    .status == 200)
            // What was processed is recorded, whatever the limits say.
            for _ in 0..<2 {
                let processed = await api.ask(
                    .post, "/usage/track/processing", #"{"processing_time":601}"#, guest: "g-1")
                #expect(processed.status == 200, "\(processed.text)")
            }
            let minutes = await api.ask(.get, "/usage/limits", guest: "g-1")
            #expect(minutes.at("processing_minutes", "used") as? Double == 20.03)
            #expect(minutes.at("processing_minutes", "remaining") as? Int == 0)
            // The next day goes on.
            api.clock.advance(86_400_000)
            #expect(await upload().status == 200)
        }
    }

    @Test func `A back end tells what others did, and analytics sum it up`() async throws {
        try await withAPI { _, api, _ in
            let empty = await api.get("/admin/analytics")
            #expect(
                empty.text
                    == """
                    {"total_users":0,"total_guests":0,"total_files_processed":0,\
                    "total_storage_mb":0,"total_processing_minutes":0,\
                    "processing_types_breakdown":{}}
                    """)
            for (path, body) in [
                (
                    "upload",
                    #"{"user_id":1,"guest_id":null,"file_size":1572864,"processing_type":"a"}"#
                ),
                ("upload", #"{"user_id":"2","file_size":1048576,"processing_type":"b"}"#),
                ("upload", #"{"guest_id":"g","file_size":0,"processing_type":"a"}"#),
                ("processing", #"{"user_id":1,"processing_time":30,"success":true}"#),
                ("processing", #"{"guest_id":"g","processing_time":60,"success":true}"#),
                ("processing", #"{"guest_id":"g","processing_time":15,"success":false}"#),
                ("download", #"{"guest_id":"h"}"#), ("api-call", #"{"user_id":3}"#),
            ] {
                let answer = await api.send(.post, "/usage/track/\(path)", body)
                #expect(answer.status == 200, "\(body): \(answer.text)")
            }
            let whole =
                """
                {"total_users":3,"total_guests":2,"total_files_processed":2,\
                "total_storage_mb":2.5,"total_processing_minutes":1.75,\
                "processing_types_breakdown":{"a":2,"b":1}}
                """
            #expect(await api.get("/admin/analytics").text == whole)
            // A guest sees its own, told by the back end.
            let guest = await api.ask(.get, "/usage/me", guest: "g")
            #expect(guest.json["total_files_processed"] as? Int == 1)
            #expect(guest.json["success_rate_percent"] as? Int == 50)
            #expect(guest.at("processing_types_breakdown", "a") as? Int == 1)
            // On another day the sums are those of all days.
            api.clock.advance(3 * 86_400_000)
            #expect(await api.get("/admin/analytics").text == whole)
        }
    }

    @Test func `First and last times are those of events, in whatever order they come`()
        async throws
    {
        try await withAPI { _, api, _ in
            func upload(_ time: String, _ meter: String = "files_uploaded") async {
                let answer = await api.post(
                    #"{"subject":"u","time":"\#(time)","meters":{"\#(meter)":1}}"#,
                    query: "backfill=true")
                #expect(answer.status == 200)
            }
            await upload("2026-11-20T10:00:00.5Z")
            await upload("2026-11-21T09:00:00Z", "files_downloaded")
            let one = await api.get("/usage/admin/user/u")
            #expect(one.json["first_upload_at"] as? String == "2026-11-20T10:00:00.500Z")
            #expect(one.json["last_upload_at"] as? String == "2026-11-20T10:00:00.500Z")
            await upload("2026-09-01T00:00:00Z")
            await upload("2026-11-21T10:00:00Z")
            await upload("2026-11-19T09:00:00Z", "files_downloaded")
            await upload("2026-11-19T09:00:00Z", "messages")
            let all = await api.get("/usage/admin/user/u")
            #expect(all.json["first_upload_at"] as? String == "2026-09-01T00:00:00Z")
            #expect(all.json["last_upload_at"] as? String == "2026-11-21T10:00:00Z")
            #expect(all.json["last_download_at"] as? String == "2026-11-21T09:00:00Z")
            #expect(all.json["last_api_call_at"] is NSNull)
        }
    }

    /// Whoever has come by its id may say that it is this guest.
    @Test func `A guest is told sums, and nothing of the person`() async throws {
        try await withAPI { _, api, _ in
            let path = "/v1/subjects/guest%3A7"
            let profile = #"{"email":"ann@example.com","full_name":"Ann","phone":"+49 1"}"#
            #expect(await api.send(.put, path, profile).status == 201)
            #expect(await api.ask(.get, path, guest: "7").status == 404)
            _ = await api.post(
                #"{"subject":"guest:7","description":"a letter","meters":{"tokens":3}}"#)
            let told = await api.ask(.get, path, guest: "7")
            #expect(told.status == 200 && told.totals == ["tokens": 3], "\(told.text)")
            #expect(
                Set(told.json.keys)
                    == ["subject", "events", "totals", "first_event_at", "last_event_at"])
            let key = try await api.secret(of: "guest:7")
            for answer in [await api.ask(.get, path, secret: key), await api.get(path)] {
                let profile = answer.json["profile"] as? [String: Any]
                #expect(profile?["email"] as? String == "ann@example.com", "\(answer.text)")
                #expect((answer.json["recent"] as? [Any])?.count == 1, "\(answer.text)")
            }
        }
    }

    @Test func `What one tells of itself leaves room for all others`() async throws {
        try await withAPI { _, api, _ in
            let refused = await api.ask(
                .post, "/usage/track/processing",
                #"{"processing_time":1,"output_file_size":1099511627777}"#, guest: "a")
            #expect(refused.status == 422 && refused.code == "out_of_range")
            let counted = await api.ask(
                .post, "/usage/track/processing",
                #"{"processing_time":1,"output_file_size":1099511627776}"#, guest: "a")
            #expect(counted.status == 200)
        }
    }

    @Test func `The same key counts once, and those of two guests never meet`() async throws {
        try await withAPI { _, api, _ in
            func upload(_ guest: String, _ size: Int = 1) async -> Answer {
                await api.ask(
                    .post, "/usage/track/upload", #"{"file_size":\#(size)}"#, guest: guest,
                    headers: ["Idempotency-Key": "k"])
            }
            #expect(await upload("a").isDuplicate == false)
            #expect(await upload("a").isDuplicate == true)
            #expect(await upload("b").isDuplicate == false)
            // No guest takes what another one, or a back end, makes of its ids.
            func call(_ guest: String, _ key: String) async -> Answer {
                await api.ask(
                    .post, "/usage/track/api-call", "", guest: guest,
                    headers: ["Idempotency-Key": key])
            }
            #expect(await call("x", "y:z").isDuplicate == false)
            #expect(await call("x:y", "z").isDuplicate == false)
            let backEnd = await api.post(
                #"{"id":"guest:x:y:z","subject":"guest:x","meters":{"tokens":1}}"#)
            #expect(backEnd.status == 200 && backEnd.isDuplicate == false)
            let other = await upload("a", 2)
            #expect(other.status == 422 && other.code == "idempotency_key_reused")
            #expect(
                await api.ask(.get, "/usage/me", guest: "a").json["total_files_uploaded"] as? Int
                    == 1)
        }
    }
}
