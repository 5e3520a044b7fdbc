// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0
import PackageDescription

/// Every Swift target is compiled this way: Swift 6 mode, no warnings.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .treatAllWarnings(as: .error),
]

func library(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = [])
    -> Target
{
    .target(name: name, dependencies: dependencies, resources: resources, swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: dependencies + ["TestSupport"], swiftSettings: strict)
}

let package = Package(
    name: "tally",
    products: [.executable(name: "tally", targets: ["tally"])],
    targets: [
        // C libraries, each behind one Swift target that may import it.
        .systemLibrary(name: "CLibevent"),
        .systemLibrary(name: "CHiredis"),
        .systemLibrary(name: "CMsgpack"),
        .systemLibrary(name: "COpenSSL"),
        .systemLibrary(name: "CCurl"),
        .systemLibrary(name: "CCsv"),
        .systemLibrary(name: "CZlib"),
        .target(name: "CLlhttp"),
        .target(name: "CSimdjson", linkerSettings: [.linkedLibrary("simdjson")]),
        // Files of docs and web, for the same.
        .target(name: "CAssets"),

        // From the bottom up: nothing imports a target that stands below it in this list.
        library("Observability", []),
        library("EventLoop", ["CLibevent"]),
        library("Redis", ["EventLoop", "CHiredis", "Observability"]),
        library("HTTPServer", ["EventLoop", "CLlhttp", "Observability"]),
        library("JSON", ["CSimdjson"]),
        library("CSV", ["CCsv"]),
        library("Cryptography", ["COpenSSL"]),
        library("Transfer", ["CCurl"]),
        library(
            "Metering",
            ["Redis", "EventLoop", "JSON", "CMsgpack", "Cryptography", "Observability"],
            resources: [.embedInCode("lua")]),
        library(
            "Identity",
            ["Metering", "Redis", "EventLoop", "JSON", "Cryptography", "Observability"]),
        library(
            "MeteringAPI",
            [
                "Identity", "Metering", "HTTPServer", "JSON", "CSV", "Cryptography", "Transfer",
                "Observability", "CAssets",
            ]),
        library("Pages", ["HTTPServer", "Cryptography", "CZlib", "CAssets"]),
        library("TallyCommand", ["Redis", "Transfer", "CSV", "JSON", "Observability"]),
        .executableTarget(
            name: "tally",
            dependencies: [
                "TallyCommand", "Pages", "MeteringAPI", "Identity", "Metering", "HTTPServer",
                "JSON", "Transfer", "Redis",
                "EventLoop", "Observability",
            ],
            swiftSettings: strict),

        .target(
            name: "TestSupport", dependencies: ["EventLoop", "Metering", "CHiredis"],
            path: "Tests/TestSupport", swiftSettings: strict),
        tests("EventLoopTests", ["EventLoop"]),
        tests("MeteringTests", ["Metering", "Redis", "EventLoop", "JSON", "Observability"]),
        .testTarget(
            name: "MeteringAPITests",
            dependencies: [
                "tally", "MeteringAPI", "Identity", "Metering", "HTTPServer", "JSON", "Redis",
                "EventLoop", "Transfer", "Cryptography", "Observability", "TestSupport",
            ],
            exclude: ["Fixtures"], swiftSettings: strict),
        tests("TransferTests", ["Transfer"]),
        tests("IdentityTests", ["Identity", "Cryptography", "Metering", "JSON"]),
        tests("CreditTests", ["Metering", "JSON", "Redis", "EventLoop", "Observability"]),
        tests("RedisTests", ["Redis", "EventLoop", "Observability"]),
        tests("ObservabilityTests", ["Observability"]),
        .testTarget(
            name: "CommandTests",
            dependencies: ["TallyCommand", "CSV", "Observability", "TestSupport"],
            exclude: ["Fixtures"], swiftSettings: strict),
        tests("JSONTests", ["JSON"]),
        tests("CSVTests", ["CSV"]),
        tests("EventTests", ["Metering", "JSON"]),
        tests("PricingTests", ["Metering", "JSON"]),
        .testTarget(
            name: "PagesTests", dependencies: ["Pages", "HTTPServer", "tally", "TestSupport"],
            exclude: [
                "browser.py", "dialogs.py", "edits.py", "faults.py", "flows.py", "humans.py",
                "odd.py",
                "pages.py", "requirements.txt", "turns.py",
            ],
            swiftSettings: strict),
        tests("ProjectTests", ["tally"]),
        tests("HTTPServerTests", ["HTTPServer", "EventLoop", "Observability"]),
        .testTarget(
            name: "EndToEndTests", dependencies: ["tally", "Cryptography", "TestSupport"],
            exclude: ["Fixtures"], swiftSettings: strict),
        .testTarget(
            name: "GatewayTests", dependencies: ["tally", "TestSupport"],
            exclude: ["Fixtures", "requirements.txt"], swiftSettings: strict),
    ],
    cxxLanguageStandard: .cxx17
)
