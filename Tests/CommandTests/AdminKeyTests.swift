// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import TallyCommand

@Suite struct AdminKeyTests {
    private let folder: TemporaryFolder
    private var path: String { AdminKey.path(in: folder.path) }

    init() throws { folder = try TemporaryFolder() }

    @Test func `The first start makes a key, later ones read it`() throws {
        let made = try AdminKey(configured: nil, folder: folder.path)
        let read = try AdminKey(configured: nil, folder: folder.path)
        #expect(made.isNew && !read.isNew)
        #expect(made.value == read.value)
        #expect(made.value.hasPrefix("tly_"))
        // 32 bytes in base64url without padding.
        #expect(made.value.utf8.count == 4 + 43)
        var status = stat()
        #expect(stat(path, &status) == 0)
        #expect(status.st_mode & 0o777 == 0o600)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["admin.key"])
    }

    @Test func `Two folders have two keys`() throws {
        let other = try TemporaryFolder()
        let one = try AdminKey(configured: nil, folder: folder.path)
        #expect(try AdminKey(configured: nil, folder: other.path).value != one.value)
    }

    @Test func `A configured key leaves no file`() throws {
        let key = try AdminKey(configured: "0123456789abcdef", folder: folder.path)
        #expect(key.value == "0123456789abcdef" && !key.isNew)
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    @Test(arguments: [0o644, 0o640, 0o620, 0o604])
    func `A file that others may read is refused`(mode: Int) throws {
        _ = try folder.file("admin.key", "tly_0123456789abcdef\n", mode: mode)
        #expect(throws: AdminKey.Failure.readByOthers(path: path)) {
            try AdminKey(configured: nil, folder: folder.path)
        }
    }

    @Test(arguments: ["", "\n", "short\n", "two words of a key here\n"])
    func `A file without a key is refused, and not replaced`(text: String) throws {
        _ = try folder.file("admin.key", text)
        #expect(throws: AdminKey.Failure.malformed(path: path)) {
            try AdminKey(configured: nil, folder: folder.path)
        }
        #expect(try String(contentsOfFile: path, encoding: .utf8) == text)
    }

    @Test func `A link, a folder and a missing folder are refused`() throws {
        let target = try folder.file("elsewhere", "tly_0123456789abcdef")
        #expect(symlink(target, path) == 0)
        #expect(throws: AdminKey.Failure.self) {
            try AdminKey(configured: nil, folder: folder.path)
        }
        unlink(path)
        mkdir(path, 0o700)
        #expect(throws: AdminKey.Failure.malformed(path: path)) {
            try AdminKey(configured: nil, folder: folder.path)
        }
        #expect(throws: AdminKey.Failure.self) {
            try AdminKey(configured: nil, folder: folder.path + "/none")
        }
    }

    @Test func `A draft that a crash left behind is no obstacle`() throws {
        _ = try folder.file("admin.key.new", "half")
        #expect(try AdminKey(configured: nil, folder: folder.path).isNew)
    }
}
