/**
 * Writes the files of a backup one after the other, hashing what is written.
 */
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Sha256 from "../internal/node/Sha256.ts"
import type { BackupError } from "./BackupError.ts"
import type { BackupFile } from "./BackupManifest.ts"
import type { Draft } from "./BackupStorage.ts"

export type Describe = (written: {
  readonly bytes: number
  readonly sha256: string
  readonly sourceBytes: number
}) => BackupFile

export interface ArchiveWriter {
  /** Finishes the file before and starts the next. */
  readonly next: (name: string, describe: Describe) => Effect.Effect<void, BackupError>
  /** `sourceBytes`: what these bytes were before compression. */
  readonly write: (bytes: Uint8Array, sourceBytes: number) => Effect.Effect<void, BackupError>
  /** Finishes the last file; the list has every file once, in order. */
  readonly finish: Effect.Effect<ReadonlyArray<BackupFile>, BackupError>
}

interface Open {
  readonly write: (bytes: Uint8Array) => Effect.Effect<void, BackupError>
  readonly finish: Effect.Effect<void, BackupError>
  readonly hash: Sha256.Sha256
  readonly describe: Describe
  bytes: number
  sourceBytes: number
}

export const make = (draft: Draft): Effect.Effect<ArchiveWriter, never, Scope.Scope> =>
  Effect.map(Effect.scope, (scope) => {
    const files: Array<BackupFile> = []
    let open: Open | undefined

    const finish = Effect.suspend(() => {
      const current = open
      if (current === undefined) return Effect.void
      open = undefined
      return Effect.map(current.finish, () => {
        const { bytes, describe, hash, sourceBytes } = current
        files.push(describe({ bytes, sha256: hash.digest(), sourceBytes }))
      })
    })

    const start = (name: string, describe: Describe): Effect.Effect<void, BackupError> =>
      Effect.gen(function* () {
        const fileScope = yield* Scope.fork(scope, ExecutionStrategy.sequential)
        const writer = yield* Scope.extend(draft.create(name), fileScope)
        open = {
          write: writer.write,
          finish: Effect.zipRight(writer.finish, Scope.close(fileScope, Exit.void)),
          hash: Sha256.make(),
          describe,
          bytes: 0,
          sourceBytes: 0
        }
      })

    return {
      next: (name, describe) => Effect.zipRight(finish, start(name, describe)),
      write: (bytes, sourceBytes) =>
        Effect.suspend(() => {
          if (open === undefined) return Effect.dieMessage("bytes before the first file")
          open.hash.update(bytes)
          open.bytes += bytes.length
          open.sourceBytes += sourceBytes
          return open.write(bytes)
        }),
      finish: Effect.as(finish, files)
    }
  })
