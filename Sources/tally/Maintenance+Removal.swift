// SPDX-License-Identifier: Apache-2.0

internal import EventLoop
internal import Identity
internal import Metering
internal import Observability

/// What is left of workspaces that were deleted.
extension Maintenance {
    /// How long others may need until they notice that a workspace is gone.
    private static let noticing = Duration.seconds(3)

    func removeDoomed(_ store: DirectoryStore) {
        for doomed in directory.doomed where !removing.contains(doomed) {
            removing.insert(doomed)
            Task { await remove(doomed, store) }
        }
    }

    /// Removes what a deleted workspace had, when all processes have noticed that it is gone.
    private func remove(_ doomed: Directory.Doomed, _ store: DirectoryStore) async {
        // Asked before another process removes what Redis has; if one has already, its files are found by their
        // state when its note is there.
        var dataset: String?
        let isAsked = await attempt("a workspace was not removed") {
            dataset = try await store.dataset(of: doomed)
        }
        guard isAsked else {
            removing.remove(doomed)
            return
        }
        await loop.sleep(for: Self.noticing)
        await attempt("a workspace was not removed") {
            // Each process has a folder of its own. Files of other data stay: those of the next workspace of
            // the same id, and those of one that Redis has lost.
            let next =
                try await store.isHere(doomed) ? nil : try await store.dataset(of: doomed.id)
            if let dataset, dataset != next {
                try await queries.removeSnapshots(of: doomed.id, dataset: dataset)
            }
            try await store.removeData(of: doomed)
        }
        removing.remove(doomed)
    }

    /// Removes the files of workspaces that others have removed while this process did not run, or stood still:
    /// it has not seen the mark of the deletion. Looks when the directory has changed.
    func removeLeftSnapshots(_ store: DirectoryStore) async {
        let current = directory.generation
        guard current != sweptGeneration else { return }
        var isSwept = true
        for folder in await queries.ownedFolders()
        where directory.settings(of: folder.workspace)?.birth != folder.birth
            && !directory.isDamaged(folder.workspace)
        {
            let id = folder.workspace
            // What cannot be removed keeps none of the others.
            let isDone = await attempt("files of a workspace that was deleted were not removed") {
                guard try await store.isRemoved(id, birth: folder.birth, dataset: folder.dataset)
                else { return }
                try await queries.removeSnapshots(of: id, dataset: folder.dataset)
                logger.notice(
                    "files of a workspace that was deleted are removed", ["workspace": id.text])
            }
            isSwept = isSwept && isDone
        }
        if isSwept { sweptGeneration = current }
    }
}
