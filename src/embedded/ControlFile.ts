/**
 * What `pg_control` says about a data directory, whether or not its server runs.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import { join } from "node:path"
import type { EmbeddedPostgresError } from "./EmbeddedPostgresError.ts"
import { fromPlatform } from "./EmbeddedPostgresError.ts"

const read = (dataDirectory: string) =>
  FileSystem.FileSystem.pipe(
    Effect.flatMap((fs) => fs.readFile(join(dataDirectory, "global", "pg_control"))),
    Effect.map((bytes) => new DataView(bytes.buffer, bytes.byteOffset)),
    Effect.mapError(fromPlatform("read the control file"))
  )

// DBState in pg_control.h, the same from 14 to 18: shut down, shut down in recovery.
const cleanStates = [1, 2]

/** Whether the server was stopped in good order. */
export const stoppedCleanly = (
  dataDirectory: string
): Effect.Effect<boolean, EmbeddedPostgresError, FileSystem.FileSystem> =>
  Effect.map(read(dataDirectory), (control) => cleanStates.includes(control.getUint32(16, true)))

/** The timeline of the last checkpoint. */
export const timeline = (dataDirectory: string): Effect.Effect<number, EmbeddedPostgresError, FileSystem.FileSystem> =>
  Effect.map(read(dataDirectory), (control) => control.getUint32(48, true))
