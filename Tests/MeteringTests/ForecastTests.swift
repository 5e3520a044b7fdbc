// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

@testable import Metering

/// Series whose continuation is known.
@Suite struct ForecastTests {
    /// 2026-11-02, a Monday.
    private static let monday = CivilDay(number: 20_759)

    private static func day(_ offset: Int) -> CivilDay { CivilDay(number: monday.number + offset) }

    @Test func `Without a day nothing is forecast`() {
        #expect(Forecast([], from: Self.monday) == nil)
        #expect("\(Self.monday)" == "2026-11-02")
    }

    @Test(arguments: [1, 2, 3, 13, 14, 15, 60])
    func `What is constant stays so`(count: Int) throws {
        let forecast = try #require(
            Forecast(Array(repeating: 700, count: count), from: Self.monday))
        #expect(forecast.method == (count < 14 ? .linear : .seasonalWeekday))
        #expect(forecast.dayCount == min(count, 56))
        let sum = forecast.sum(Self.day(count)...Self.day(count + 9))
        #expect(abs(sum.value - 7000) < 1e-6)
        // One or two days say nothing about how much days differ.
        #expect((sum.deviation == nil) == (count < 3))
        #expect(sum.deviation.map { $0 < 1e-6 } ?? true)
    }

    @Test func `A line goes on, and not below 0`() throws {
        let rising = try #require(Forecast((0..<10).map { 100 + 20 * $0 }, from: Self.monday))
        #expect(rising.method == .linear)
        for offset in 10..<20 {
            #expect(abs(rising.value(of: Self.day(offset)) - Double(100 + 20 * offset)) < 1e-6)
        }
        let sum = rising.sum(Self.day(10)...Self.day(14))
        #expect(abs(sum.value - 1700) < 1e-6 && abs(sum.deviation ?? 1) < 1e-6)
        let falling = try #require(Forecast((0..<10).map { 100 - 10 * $0 }, from: Self.monday))
        #expect(falling.value(of: Self.day(20)) == 0)
    }

    @Test func `Weekdays come again`() throws {
        let week = [100, 200, 300, 400, 500, 30, 0]
        for start in 0..<7 {
            let values = (0..<28).map { week[(start + $0) % 7] }
            let forecast = try #require(Forecast(values, from: Self.day(start)))
            #expect(forecast.method == .seasonalWeekday)
            for offset in start + 28..<start + 42 {
                #expect(forecast.value(of: Self.day(offset)) == Double(week[offset % 7]))
            }
            let sum = forecast.sum(Self.day(start + 28)...Self.day(start + 34))
            #expect(sum.value == 1530 && sum.deviation == 0)
        }
    }

    /// Only the last eight weeks count.
    @Test func `What is long past is forgotten`() throws {
        let values = Array(repeating: 9999, count: 100) + Array(repeating: 5, count: 56)
        let forecast = try #require(Forecast(values, from: Self.monday))
        #expect(forecast.sum(Self.day(156)...Self.day(156)).value == 5)
    }

    /// The textbook's formula of the prediction interval of a regression, by hand: y = 1, 3, 2, 4 gives
    /// the line 1.3 + 0.8 x with a residual deviation of 0.9487 (2 degrees of freedom), and for x = 4
    /// a deviation of 0.9487 * sqrt(1 + 1/4 + 2.5²/5).
    @Test func `The interval of a line is that of the regression`() throws {
        let forecast = try #require(Forecast([1, 3, 2, 4], from: Self.monday))
        let sum = forecast.sum(Self.day(4)...Self.day(4))
        #expect(abs(sum.value - 4.5) < 1e-9)
        let expected = (1.8 / 2).squareRoot() * (1 + 0.25 + 6.25 / 5).squareRoot()
        #expect(abs((sum.deviation ?? 0) - expected) < 1e-9)
    }

    /// Of 80 intervals of 100 the next day's value is in them, for noise that is normal.
    @Test func `The interval holds what comes as often as it says`() throws {
        var random = SeededGenerator(11)
        func normal() -> Double {
            (0..<12).reduce(-6.0) { sum, _ in sum + Double.random(in: 0..<1, using: &random) }
        }
        for (count, isSeasonal) in [(4, false), (10, false), (14, true), (35, true)] {
            var hits = 0
            for _ in 0..<2000 {
                let values = (0..<count + 7).map { _ in Int(1_000_000 + 10_000 * normal()) }
                let forecast = try #require(
                    Forecast(Array(values.prefix(count)), from: Self.monday))
                #expect((forecast.method == .seasonalWeekday) == isSeasonal)
                let interval = try #require(
                    forecast.sum(Self.day(count)...Self.day(count + 6)).interval)
                if interval.contains(Double(values.suffix(7).reduce(0, +))) { hits += 1 }
            }
            #expect((1540...1660).contains(hits), "\(hits) of 2000")
        }
    }

    private static func depletion(
        _ perDay: Int, grants: [Depletion.Part] = [], month: Double, allowance: Double = 0,
        rolloverMax: Double = 0, resets: [Int] = [], spentToday: Double = 0
    ) -> Depletion? {
        Forecast(Array(repeating: perDay, count: 28), from: day(-28)).map {
            Depletion(
                of: grants, month: month, allowance: allowance, rolloverMax: rolloverMax,
                resets: resets.map { day($0) }, by: $0, from: monday, spentToday: spentToday)
        }
    }

    /// So far are the `soFar` of a month; `days` are still to come behind today.
    @Test(arguments: [(0, 8), (40, 8), (100, 8), (500, 8), (2000, 8), (500, 0)])
    func `A busy today leaves the days to come as they are`(ofToday: Int, days: Int) throws {
        let forecast = try #require(
            Forecast(Array(repeating: 100, count: 56), from: Self.day(-56)))
        let rest = forecast.rest(
            of: Self.monday, spent: Double(ofToday), until: Self.day(days))
        #expect(abs(rest.value - Double(100 * days + max(0, 100 - ofToday))) < 1e-6)
        #expect(rest.deviation.map { $0 < 1e-6 } ?? false)
    }

    @Test func `A balance runs out on the day that takes the last of it`() throws {
        #expect(Self.depletion(10, month: 95)?.day == Self.day(9))
        #expect(Self.depletion(10, month: 95)?.earliest == Self.day(9))
        #expect(Self.depletion(10, month: 100)?.day == Self.day(9))
        #expect(Self.depletion(10, month: 101)?.day == Self.day(10))
        // What today has brought already is gone from the balance.
        #expect(Self.depletion(10, month: 95, spentToday: 10)?.day == Self.day(10))
        // A busy today takes nothing away from the days to come.
        #expect(Self.depletion(10, month: 95, spentToday: 1000)?.day == Self.day(10))
        #expect(Self.depletion(10, month: -5)?.day == Self.monday)
        #expect(Self.depletion(0, month: 1)?.day == nil)
        #expect(Self.depletion(1, month: 100_000)?.day == nil)
    }

    @Test func `Resets and grants carry it further, until they end`() throws {
        #expect(
            Self.depletion(10, month: 50, allowance: 30, resets: [3, 33])?.day == Self.day(5))
        #expect(
            Self.depletion(10, month: 50, allowance: 30, rolloverMax: 5, resets: [3, 33])?.day
                == Self.day(6))
        #expect(
            Self.depletion(10, month: 10, allowance: 100, resets: [1, 11, 21])?.day == Self.monday)
        let grant = Depletion.Part(left: 35, ends: nil)
        #expect(Self.depletion(10, grants: [grant], month: 20)?.day == Self.day(5))
        let ending = Depletion.Part(left: 35, ends: Self.day(3))
        #expect(Self.depletion(10, grants: [ending], month: 20)?.day == Self.day(3))
    }

    /// A file that is damaged does not say that nothing was used.
    @Test
    func `Days that cannot be read are left out, and a month with one of them has no forecast`()
        async throws
    {
        try await withRedis { redis in
            try await onLoop { host in
                let clock = ManualClock(noon)
                let all = try await ColdBench(redis, on: host.loop, clock)
                // 10 a day from 27 October to 20 November, and 100 before.
                let length = 86_400_000
                for back in 1..<40 {
                    let amount = back < 26 ? 10 : 100
                    let outcome = await all.benches[0].record(
                        event("a", ["tokens": amount], at: noon - back * length))
                    #expect(outcome.counted != nil)
                }
                clock.advance(600_001)
                #expect(try await all.evict().count > 30)
                let queries = all.benches[1].queries
                func forecast() async throws -> MonthForecast {
                    try await queries.monthForecast(of: tokens, subject: nil)
                }
                let whole = try await forecast()
                #expect(whole.dayCount == 39 && whole.soFar == 200 && whole.warnings == [])
                func damage(_ back: Int) throws {
                    let day = CivilDay(number: noon / length - back)
                    try overwrite(all.flushing[0].path("\(day)"), at: 200, with: [0x7F])
                }
                try damage(26)
                let part = try await forecast()
                #expect(part.dayCount == 25 && part.warnings.count == 1)
                #expect(part.soFar == 200 && part.value == 300)
                try damage(11)
                let none = try await forecast()
                #expect(none.value == nil && none.interval == nil && none.warnings.count == 2)
            }
        }
    }
}
