/**
 * The physical engine: a copy of the whole cluster through PostgreSQL's replication protocol, in process.
 *
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { ConnectionTarget } from "../DatabaseConfig.ts"
import type { BackupEngine } from "./BackupEngine.ts"
import * as PhysicalCopy from "./PhysicalCopy.ts"
import * as PhysicalRestore from "./PhysicalRestore.ts"
import * as PhysicalSession from "./PhysicalSession.ts"
import * as PhysicalVerify from "./PhysicalVerify.ts"

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: {
  readonly source: ConnectionTarget
  readonly compression: PhysicalCopy.Compression
  readonly stallTimeout: Duration.Duration
}): Effect.Effect<BackupEngine, never, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const files = Context.empty().pipe(
      Context.add(FileSystem.FileSystem, yield* FileSystem.FileSystem),
      Context.add(Path.Path, yield* Path.Path)
    )
    const { compression, source } = options
    return {
      name: "physical",
      open: Effect.map(PhysicalSession.open(source, options), (session) => ({
        server: session.server,
        target: session.target,
        copy: (draft, onProgress) =>
          PhysicalCopy.copy(session, {
            draft,
            compression,
            onProgress,
            onServerError: PhysicalSession.fromDatabase(source)
          })
      })),
      verify: PhysicalVerify.verify,
      restore: (backup, restoreOptions) => Effect.provide(PhysicalRestore.restore(backup, restoreOptions), files)
    }
  })
