/**
 * File operations whose result survives a loss of power.
 */
import type { PlatformError } from "@effect/platform/Error"
import type * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

export interface DurableFile {
  readonly write: (bytes: Uint8Array) => Effect.Effect<void, PlatformError>
  /** Returns when every byte written is on the disk. */
  readonly sync: Effect.Effect<void, PlatformError>
}

/**
 * A new file that only its owner may read; fails if it exists.
 *
 * A write cannot be taken back once the system has it, so interruption waits for it: closing the descriptor meanwhile
 * could send the rest of the bytes to whatever file is opened next under the same number.
 */
export const create = (
  fs: FileSystem.FileSystem,
  path: string
): Effect.Effect<DurableFile, PlatformError, Scope.Scope> =>
  Effect.map(fs.open(path, { flag: "wx", mode: 0o600 }), (file) => ({
    write: (bytes) => Effect.uninterruptible(file.writeAll(bytes)),
    sync: Effect.uninterruptible(file.sync)
  }))

/** Makes creations, renames and removals in a directory durable. */
export const syncDirectory = (fs: FileSystem.FileSystem, path: string): Effect.Effect<void, PlatformError> =>
  Effect.scoped(Effect.flatMap(fs.open(path, { flag: "r" }), (directory) => Effect.uninterruptible(directory.sync)))
