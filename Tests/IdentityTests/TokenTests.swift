// SPDX-License-Identifier: Apache-2.0

import Cryptography
import JSON
import Metering
import TestSupport
import Testing

@testable import Identity

/// Tokens of other applications, right and wrong. Those of RSA and P-256 were signed with OpenSSL's
/// command, by keys of which nothing else is left.
@Suite struct TokenTests {
    /// 2026-11-21T10:00:00Z; the tokens below expire an hour later.
    private static let noon = 1_795_255_200
    private static let secret = Array("0123456789abcdef0123456789abcdef".utf8)

    private static let modulus =
        "tMg8llhBB8O7Xbt9Rx22P64qdA7mq9bECCdTCqeTOtitYaLS6bp6yhEcYHEQQ5P_MqD50E_535b7gGRX"
        + "9_dvzM0KVV2GpYbJrXGvtoMIxvEdN-SmjvREpCBRSHOS8Iaf60EevOSF37UazXRRAY4It9HnercGdYR_"
        + "mSGNI3T4UmQt_DCK9NTANhsYziXJJYvEbjLq9HzxS7hpE2Lq1F9WmZ7X-DRydTIUtEohLaDAoOajv4Kp"
        + "syXAqFzBRQprXhuiq-QxG5fBM6xRAWYkINT0USOvnyD-PLakXOEkdF6SPawO1cFttHCpSWt1lbIB0p8Y"
        + "cMsURvQnwNMTGSmmq8lMww"
    private static let rsaToken =
        "eyJhbGciOiJSUzI1NiIsImtpZCI6InIifQ.eyJzdWIiOiJhbm4iLCJleHAiOjE3OTUyNTg4MDAsImF1Z"
        + "CI6InRhbGx5IiwiaXNzIjoic2hvcCJ9.BfFm4-MlfqNDqvj7yENIHRrN2lYFjOanyyzw0y6nO2RO5Yf1"
        + "yJXG2-vqkHIuk4_bG3mLrH7NCZkWH_6HjbDmP-1d2Qs7pekcYlbnE2xOPHCPP413MZRuzKYGwZmLyHkn"
        + "ePtSeddl3FSCpYFExgSDkGPirvG9UIL91D5FQDihGXpadEm4pRxVru8TWpuHgq8wtSQ3fHE5l8IIzLxn"
        + "3APYWl_1Wpp1EZEKiJUMnbNyl9IUey6NDGpWIzVNfPLeGu8C2GETFn6GWI1tn5XoCFy_2-LKt3AUuyUR"
        + "kpjRlnyt2GQ5LoYsUcbu0C5m760oUkhf_yVYjqqwxZwhWjuTivBNVg"
    private static let curveToken =
        "eyJhbGciOiJFUzI1NiIsImtpZCI6ImUifQ.eyJzdWIiOiJhbm4iLCJleHAiOjE3OTUyNTg4MDAsImF1Z"
        + "CI6InRhbGx5IiwiaXNzIjoic2hvcCJ9.ysilBHEOJh_uChDxLkK-UBA3N-fsjEI6rvQU6BnZFLPZ0RX8"
        + "TboyG5ZZelf50_HoXfXwFpkV82ZhAYmrtaIgOw"
    private static let publicPEM = """
        -----BEGIN PUBLIC KEY-----
        MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAtMg8llhBB8O7Xbt9Rx22
        P64qdA7mq9bECCdTCqeTOtitYaLS6bp6yhEcYHEQQ5P/MqD50E/535b7gGRX9/dv
        zM0KVV2GpYbJrXGvtoMIxvEdN+SmjvREpCBRSHOS8Iaf60EevOSF37UazXRRAY4I
        t9HnercGdYR/mSGNI3T4UmQt/DCK9NTANhsYziXJJYvEbjLq9HzxS7hpE2Lq1F9W
        mZ7X+DRydTIUtEohLaDAoOajv4KpsyXAqFzBRQprXhuiq+QxG5fBM6xRAWYkINT0
        USOvnyD+PLakXOEkdF6SPawO1cFttHCpSWt1lbIB0p8YcMsURvQnwNMTGSmmq8lM
        wwIDAQAB
        -----END PUBLIC KEY-----

        """
    private static let set = #"""
        {"keys": [
          {"kty": "oct", "kid": "h", "alg": "HS256",
           "k": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"},
          {"kty": "RSA", "kid": "r", "alg": "RS256", "use": "sig", "n": "\#(modulus)", "e": "AQAB"},
          {"kty": "EC", "kid": "e", "crv": "P-256",
           "x": "w8SGDGbDlYyFb546_Q8lYe5wx-QT7BfGqOLAHKTKoP4", "y": "eiYK7G9CHcn8_dLtPOBPDtoPM70SSLg10KndsASeFFw"}
        ]}
        """#

    private let clock = ManualClock(noon * 1000)
    private let reader: JSONReader

    init() throws { reader = try JSONReader() }

    private func verifier(_ change: (inout TokenRules) -> Void = { _ in }) throws -> TokenVerifier {
        var rules = TokenRules()
        change(&rules)
        return TokenVerifier(
            rules: rules, keys: try TokenKeys(try reader.read(Self.set)),
            directory: Directory(defaults: WorkspaceSettings()), clock: clock)
    }

    private static func token(
        _ claims: String, header: String = #"{"alg":"HS256","kid":"h"}"#, key: [UInt8] = secret
    ) -> [UInt8] {
        let parts = [header, claims].map { base64URLEncoded(Array($0.utf8)) }
        let message = parts[0] + Array(".".utf8) + parts[1]
        return message + Array(".".utf8) + base64URLEncoded(hmacSHA256(of: message, key: key))
    }

    private static let claims = #"{"sub":"ann","exp":\#(noon + 60)}"#

    @Test func `Tokens of each algorithm tell who calls`() throws {
        let verifier = try verifier()
        for token in [
            Self.token(Self.claims), Array(Self.rsaToken.utf8), Array(Self.curveToken.utf8),
        ] {
            let principal = try #require(verifier.principal(of: token, reader))
            #expect(principal.role == .oneself && principal.workspace == .default)
            #expect(principal.subject == SubjectID("ann"))
            // A changed byte anywhere makes it another's.
            for index in stride(from: 0, to: token.count, by: 7) {
                var changed = token
                changed[index] = changed[index] == UInt8(ascii: "A") ? UInt8(ascii: "B") : 0x41
                #expect(verifier.principal(of: changed, reader) == nil, "\(index)")
            }
        }
    }

    @Test func `The algorithm is the key's, whatever the token says`() throws {
        let verifier = try verifier()
        let unsigned = [#"{"alg":"none"}"#, #"{"alg":"none","kid":"h"}"#].map { header in
            [header, Self.claims].map { base64URLEncoded(Array($0.utf8)) }
                .joined(separator: Array(".".utf8)) + Array(".".utf8)
        }
        for token in unsigned { #expect(verifier.principal(of: Array(token), reader) == nil) }
        // The public key is no secret: HS256 by it proves nothing.
        let modulus = try #require(base64URLDecoded(Array(Self.modulus.utf8)))
        for key in [Array(Self.publicPEM.utf8), Array((Self.publicPEM + "\n").utf8), modulus] {
            for id in ["r", "e", "h"] {
                let header = #"{"alg":"HS256","kid":"\#(id)"}"#
                let token = Self.token(Self.claims, header: header, key: key)
                #expect(verifier.principal(of: token, reader) == nil)
            }
        }
        for header in [
            #"{"alg":"HS384","kid":"h"}"#, #"{"alg":"hs256","kid":"h"}"#, #"{"kid":"h"}"#,
            #"{"alg":"HS256","kid":"x"}"#, #"{"alg":"HS256","kid":""}"#,
            #"{"alg":"HS256","kid":1}"#, #"{"alg":"HS256","kid":"../../dev/null"}"#,
            #"{"alg":"HS256","kid":"h","crit":["x"],"x":1}"#, #"{"alg":["HS256"],"kid":"h"}"#,
            #"{"alg":"HS256","alg":"none","kid":"h"}"#, "[]", "", "{",
        ] {
            let token = Self.token(Self.claims, header: header)
            #expect(verifier.principal(of: token, reader) == nil, "\(header)")
        }
        // Without an id, every key may be meant.
        let unnamed = Self.token(Self.claims, header: #"{"alg":"HS256"}"#)
        #expect(verifier.principal(of: unnamed, reader) != nil)
    }

    @Test func `Claims have to hold, within the leeway`() throws {
        let verifier = try verifier {
            $0.issuer = "shop"
            $0.audience = "tally"
        }
        let noon = Self.noon
        for (claims, isRight) in [
            (#""exp":\#(noon + 1),"iss":"shop","aud":"tally""#, true),
            (#""exp":\#(noon + 1),"iss":"shop","aud":["x","tally"]"#, true),
            (#""exp":\#(noon + 1).5,"iss":"shop","aud":"tally""#, true),
            (#""exp":\#(noon - 29),"iss":"shop","aud":"tally""#, true),
            (#""exp":\#(noon - 30),"iss":"shop","aud":"tally""#, false),
            (#""exp":\#(noon + 1),"nbf":\#(noon + 30),"iss":"shop","aud":"tally""#, true),
            (#""exp":\#(noon + 99),"nbf":\#(noon + 31),"iss":"shop","aud":"tally""#, false),
            (#""exp":\#(noon + 1),"nbf":"now","iss":"shop","aud":"tally""#, false),
            (#""iss":"shop","aud":"tally""#, false),
            (#""exp":"\#(noon + 1)","iss":"shop","aud":"tally""#, false),
            (#""exp":null,"iss":"shop","aud":"tally""#, false),
            (#""exp":1e400,"iss":"shop","aud":"tally""#, false),
            (#""exp":9223372036854775807,"iss":"shop","aud":"tally""#, false),
            (#""exp":-1,"iss":"shop","aud":"tally""#, false),
            (#""exp":\#(noon + 1),"iss":"other","aud":"tally""#, false),
            (#""exp":\#(noon + 1),"aud":"tally""#, false),
            (#""exp":\#(noon + 1),"iss":"shop""#, false),
            (#""exp":\#(noon + 1),"iss":"shop","aud":"other""#, false),
            (#""exp":\#(noon + 1),"iss":"shop","aud":["other"]"#, false),
            (#""exp":1,"exp":\#(noon + 1),"iss":"shop","aud":"tally""#, false),
        ] {
            let token = Self.token(#"{"sub":"ann",\#(claims)}"#)
            #expect((verifier.principal(of: token, reader) != nil) == isRight, "\(claims)")
        }
    }

    @Test func `Subject, workspace and role come from the claims that are named`() throws {
        let verifier = try verifier {
            $0.subjectClaim = "user_id"
            $0.workspaceClaim = "https://example.com/tenant"
            $0.roleClaim = "kind"
        }
        func principal(_ claims: String) -> Principal? {
            verifier.principal(
                of: Self.token(#"{"exp":\#(Self.noon + 1),\#(claims)}"#), reader)
        }
        #expect(principal(#""user_id":42"#)?.subject == SubjectID("42"))
        #expect(principal(#""sub":"ann""#) == nil)
        for wrong in ["true", "1.5", #""""#, "[]", "null", #""a\u0000b""#] {
            #expect(principal(#""user_id":\#(wrong)"#) == nil, "\(wrong)")
        }
        for (name, role) in [
            ("admin", Role.admin), ("writer", .writer), ("reader", .reader), ("self", .oneself),
            ("customer", .oneself), ("operator", .oneself), ("guest", .oneself),
        ] {
            #expect(principal(#""user_id":"a","kind":"\#(name)""#)?.role == role)
        }
        #expect(
            principal(#""user_id":"a","https://example.com/tenant":"default""#)?.workspace
                == .default)
        for other in ["none", "", "@", "DEFAULT"] {
            #expect(principal(#""user_id":"a","https://example.com/tenant":"\#(other)""#) == nil)
        }
    }

    @Test func `What is no token is refused, however large`() throws {
        let verifier = try verifier()
        for text in [
            "", ".", "..", "...", "a.b.c", "a.b", String(repeating: "a", count: 100_000),
            String(repeating: ".", count: 5000),
            String(decoding: Self.token(Self.claims), as: UTF8.self) + "=",
            String(decoding: Self.token(Self.claims), as: UTF8.self) + ".x",
            " " + String(decoding: Self.token(Self.claims), as: UTF8.self),
        ] {
            #expect(verifier.principal(of: Array(text.utf8), reader) == nil)
        }
        let large =
            #"{"sub":"ann","exp":\#(Self.noon + 1),"x":"\#(String(repeating: "y", count: 8000))"}"#
        #expect(verifier.principal(of: Self.token(large), reader) == nil)
    }

    @Test(arguments: [
        #"{}"#, #"{"keys": {}}"#, #"{"keys": [{"kty": "oct", "k": "c2hvcnQ"}]}"#,
        #"{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}"#,
        #"{"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]}"#,
        #"{"keys": [{"kty": "oct", "k": "a+b/"}]}"#,
    ]) func `A set with a key that is wrong is refused`(set: String) throws {
        let value = try reader.read(set)
        #expect(throws: TokenKeyError.self) { try TokenKeys(value) }
    }

    @Test(arguments: [
        #"{"keys": []}"#, #"{"keys": [{"kty": "OKP"}]}"#,
        #"{"keys": [{"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA"}]}"#,
        #"{"keys": [{"kty": "oct", "alg": "RS256", "k": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}]}"#,
    ]) func `A set of keys of which none fits is empty`(set: String) throws {
        #expect(try TokenKeys(try reader.read(set)).isEmpty)
    }

    @Test func `Keys of other kinds in a set are left out`() throws {
        let secret = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"
        let set = """
            {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AA"}, {"kty": "EC", "crv": "P-384"},
            {"kty": "oct", "alg": "HS512", "k": "\(secret)"}, {"kty": "oct", "kid": "h", "k": "\(secret)"}]}
            """
        let keys = try TokenKeys(try reader.read(set)).keys
        #expect(keys.mapValues(\.count) == ["h": 1])
    }

    @Test func `What is signed and over is no forgery`() throws {
        let verifier = try verifier()
        let over = Self.token(#"{"sub":"ann","exp":1}"#)
        #expect(verifier.judge(over, reader) == .outOfForce)
        #expect(verifier.judge(over.dropLast(2) + Array("AA".utf8), reader) == .forged)
    }
}
