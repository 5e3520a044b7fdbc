// SPDX-License-Identifier: Apache-2.0

internal import Redis

extension RedisServerReport {
    /// Why this Redis cannot be used.
    var fault: String? {
        if let version,
            let major = version.split(separator: ".").first.flatMap({ Int($0) }),
            major < 7
        {
            return "Redis \(version) is too old: 7.0 or later is needed"
        }
        if isReplica == true {
            return "this Redis follows another one and takes no writes (READONLY)"
        }
        return isClusterNode == true ? "Redis Cluster is not supported" : nil
    }

    /// Why this Redis may lose what was acknowledged: what nobody knows counts as the worst.
    var risk: String? {
        let hint = "; --allow-volatile accepts it"
        if durability == .none {
            return
                "Redis does not keep its data (appendonly no), or leaves it to the system when to "
                + "write it (appendfsync no)" + hint
        }
        if let policy = evictionPolicy, policy != "noeviction" {
            return "Redis may throw data away (maxmemory-policy \(policy))" + hint
        }
        let unknown =
            (keepsLog == nil ? ["whether Redis keeps its data (appendonly)"] : [])
            + (evictionPolicy == nil
                ? ["whether Redis throws data away (maxmemory-policy)"] : [])
        guard !unknown.isEmpty else { return nil }
        return "its user may not ask \(unknown.joined(separator: " and ")): grant it INFO and "
            + "CONFIG|GET (docs/keys.md)" + hint
    }
}
