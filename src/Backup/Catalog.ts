/**
 * What a storage holds: complete backups in order, and directories that only look like one.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Stream from "effect/Stream"
import { BackupError } from "./BackupError.ts"
import * as BackupManifest from "./BackupManifest.ts"
import type { BackupStorage } from "./BackupStorage.ts"
import * as Lsn from "./Lsn.ts"

/**
 * A directory with the name of a backup that is not listed as one.
 *
 * @since 0.1.0
 * @category models
 */
export interface Unreadable {
  readonly label: string
  readonly problem: string
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Listing {
  /** Complete backups, the newest first. */
  readonly backups: ReadonlyArray<BackupManifest.BackupManifest>
  readonly unreadable: ReadonlyArray<Unreadable>
}

/** Enough for a directory of hundreds, few enough for a network drive. */
const readConcurrency = 4

export const read = (
  storage: BackupStorage,
  label: string
): Effect.Effect<BackupManifest.BackupManifest, BackupError> =>
  Effect.gen(function* () {
    const files = yield* storage.files(label)
    if (!files.some(({ name }) => name === BackupManifest.fileName)) {
      return yield* new BackupError({
        reason: "Damaged",
        label,
        path: BackupManifest.fileName,
        description: `${BackupManifest.fileName} is missing`,
        advice: "Nothing can be restored from it. If its files are of no use to you, remove the directory."
      })
    }
    const text = yield* Stream.mkString(Stream.decodeText(storage.read(label, BackupManifest.fileName)))
    return yield* BackupManifest.decode(label, text)
  })

export const list = (storage: BackupStorage): Effect.Effect<Listing, BackupError> =>
  Effect.gen(function* () {
    const labels = yield* storage.labels
    const results = yield* Effect.forEach(
      labels,
      (label) =>
        read(storage, label).pipe(
          Effect.map(Either.right),
          // Removed between the two looks: as if it had never been there.
          Effect.catchAll((error) =>
            error.reason === "NotFound"
              ? Effect.succeed(undefined)
              : Effect.succeed(Either.left({ label, problem: error.description }))
          )
        ),
      { concurrency: readConcurrency }
    )
    const backups: Array<BackupManifest.BackupManifest> = []
    const unreadable: Array<Unreadable> = []
    for (const result of results) {
      if (result === undefined) continue
      if (Either.isRight(result)) backups.push(result.right)
      else unreadable.push(result.left)
    }
    return { backups: newestFirst(backups), unreadable }
  })

/**
 * Within a cluster by timeline and WAL position, which only grow, whatever the clocks of the machines said; clusters by
 * their newest backup.
 */
export const newestFirst = (
  backups: ReadonlyArray<BackupManifest.BackupManifest>
): ReadonlyArray<BackupManifest.BackupManifest> => {
  const clusters = new Map<string, Array<BackupManifest.BackupManifest>>()
  for (const backup of backups) {
    const { systemIdentifier } = backup.server
    const cluster = clusters.get(systemIdentifier)
    if (cluster === undefined) clusters.set(systemIdentifier, [backup])
    else cluster.push(backup)
  }
  const latest = (cluster: ReadonlyArray<BackupManifest.BackupManifest>): number =>
    Math.max(...cluster.map((backup) => backup.stop.at.epochMillis))
  return [...clusters.values()]
    .sort((left, right) => latest(right) - latest(left))
    .flatMap((cluster) => cluster.sort(byPosition))
}

const byPosition = (left: BackupManifest.BackupManifest, right: BackupManifest.BackupManifest): number => {
  if (left.stop.timeline !== right.stop.timeline) return right.stop.timeline - left.stop.timeline
  const difference = (Lsn.parse(right.stop.lsn) ?? 0n) - (Lsn.parse(left.stop.lsn) ?? 0n)
  if (difference !== 0n) return difference > 0n ? 1 : -1
  return left.label < right.label ? 1 : -1
}
