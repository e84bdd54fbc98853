/**
 * The files of a cluster that a person keeps: the password, the nodes' data, and the mark by which we know it again.
 */
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { randomBytes } from "node:crypto"
import { dirname, join } from "node:path"
import { makeDirectories } from "../internal/makeDirectories.ts"
import { EmbeddedPostgresError, fromPlatform } from "./EmbeddedPostgresError.ts"
import type { Installation } from "./Installation.ts"

const mark = "plinth-cluster.json"

const foreign = (directory: string) =>
  new EmbeddedPostgresError({
    reason: "DirectoryForeign",
    operation: "open the cluster",
    description: `${directory} is not empty, and Plinth did not make it`,
    path: directory
  })

const unmakeable = (directory: string) => (cause: PlatformError) =>
  new EmbeddedPostgresError({
    reason: "FileSystem",
    operation: "open the cluster",
    description: `the directory ${directory} cannot be made: ${cause.message}`,
    path: directory,
    cause
  })

/** A data directory that is no cluster of ours, such as a restored backup. */
export const isRestored = (directory: string): Effect.Effect<boolean, EmbeddedPostgresError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    return !(yield* fs.exists(join(directory, mark))) && (yield* fs.exists(join(directory, "PG_VERSION")))
  }).pipe(Effect.mapError(fromPlatform("open the cluster")))

/** Makes the directory, or makes sure that it is one of ours. */
export const prepare = (directory: string): Effect.Effect<void, EmbeddedPostgresError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    yield* Effect.mapError(makeDirectories(fs, { dirname }, directory, { mode: 0o755 }), unmakeable(directory))
    if (yield* fs.exists(join(directory, mark))) return
    if ((yield* fs.readDirectory(directory)).length > 0) return yield* foreign(directory)
    yield* fs.writeFileString(join(directory, ".gitignore"), "*\n")
    yield* fs.writeFileString(join(directory, mark), `${JSON.stringify({ format: 1 })}\n`)
  }).pipe(Effect.mapError(fromPlatform("open the cluster")))

/** Where the nodes' data directories are. */
export const nodes = (directory: string): Effect.Effect<string, EmbeddedPostgresError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = join(directory, "nodes")
    yield* makeDirectories(fs, { dirname }, path, { mode: 0o755 })
    return path
  }).pipe(Effect.mapError(fromPlatform("open the cluster")))

/** The superuser's password, made on the first start; the file is for this process's account only. */
export const password = (
  directory: string
): Effect.Effect<Redacted.Redacted, EmbeddedPostgresError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const file = join(directory, "password")
    if (!(yield* fs.exists(file))) {
      const fresh = `${file}.new`
      yield* fs.writeFileString(fresh, randomBytes(24).toString("base64url"), { mode: 0o600 })
      yield* fs.rename(fresh, file)
    }
    return Redacted.make((yield* fs.readFileString(file)).trim())
  }).pipe(Effect.mapError(fromPlatform("read the cluster's password")))

const majorOf = (dataDirectory: string) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) =>
    fs.readFileString(join(dataDirectory, "PG_VERSION")).pipe(
      Effect.map((text) => Number.parseInt(text, 10)),
      Effect.option
    )
  )

/** The names of the nodes that have data. Fails when another major version made it. */
export const existing = (
  installation: Installation,
  nodes: string
): Effect.Effect<ReadonlyArray<string>, EmbeddedPostgresError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const names = (yield* fs.readDirectory(nodes)).filter((name) => /^(primary|replica-\d+)$/.test(name))
    return yield* Effect.filter(names, (name) =>
      Effect.flatMap(
        majorOf(join(nodes, name)),
        Option.match({
          onNone: () => Effect.succeed(false),
          onSome: (major) => Effect.as(checkMajor(installation, join(nodes, name), major), true)
        })
      )
    )
  }).pipe(Effect.mapError(fromPlatform("open the cluster")))

/** A server can only run on data that its own major version made. */
export const checkMajor = (
  installation: Installation,
  dataDirectory: string,
  major: number
): Effect.Effect<void, EmbeddedPostgresError> =>
  major === installation.binaries.major
    ? Effect.void
    : Effect.fail(
        new EmbeddedPostgresError({
          reason: "VersionMismatch",
          operation: "open the cluster",
          description:
            `${dataDirectory} was made by PostgreSQL ${major}, and the binaries in ` +
            `${installation.binaries.directory} are PostgreSQL ${installation.binaries.version}`,
          path: dataDirectory
        })
      )
