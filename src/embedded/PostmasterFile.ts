/**
 * What a server writes about itself into `postmaster.pid`. It is the one source of truth about a running server, since
 * another process may have started it.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { join } from "node:path"
import * as ProcessTable from "./ProcessTable.ts"

export interface PostmasterFile {
  readonly pid: number
  readonly port: number
  /** `starting`, `stopping`, `ready`, or `standby` for a standby that serves no reads. */
  readonly status: string
  /** The System V segment that a killed server leaves behind. */
  readonly sharedMemoryId: Option.Option<string>
}

const path = (dataDirectory: string): string => join(dataDirectory, "postmaster.pid")

const parse = (text: string): Option.Option<PostmasterFile> => {
  const lines = text.split("\n").map((line) => line.trim())
  const pid = Number(lines[0])
  if (!Number.isInteger(pid) || pid <= 0) return Option.none()
  return Option.some({
    pid,
    port: Number(lines[3] ?? "0"),
    status: lines[7] ?? "",
    sharedMemoryId: Option.fromNullable(lines[6]?.split(/\s+/)[1])
  })
}

/** The file as it is, whether or not its server runs. */
export const read = (
  dataDirectory: string
): Effect.Effect<Option.Option<PostmasterFile>, never, FileSystem.FileSystem> =>
  FileSystem.FileSystem.pipe(
    Effect.flatMap((fs) => fs.readFileString(path(dataDirectory))),
    Effect.map(parse),
    Effect.orElseSucceed(() => Option.none())
  )

/** The file of a server that runs, in whatever state. */
export const running = (
  dataDirectory: string
): Effect.Effect<Option.Option<PostmasterFile>, never, FileSystem.FileSystem> =>
  Effect.map(
    read(dataDirectory),
    Option.filter((file) => ProcessTable.isPostgres(file.pid))
  )

/** Removes the file of a server that is gone: its pid may by now belong to another program, and would block a start. */
export const removeStale = (dataDirectory: string): Effect.Effect<void, never, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    if (Option.isNone(yield* running(dataDirectory))) yield* Effect.ignore(fs.remove(path(dataDirectory)))
  })
