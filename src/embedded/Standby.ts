/**
 * Makes a server follow a primary: the signal file, where the WAL comes from, and a new copy where its own history has
 * diverged.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { join } from "node:path"
import { clone } from "./Clone.ts"
import * as ControlFile from "./ControlFile.ts"
import type { EmbeddedPostgresError } from "./EmbeddedPostgresError.ts"
import { fromPlatform } from "./EmbeddedPostgresError.ts"
import type { Password, Upstream } from "./Endpoint.ts"
import * as Endpoint from "./Endpoint.ts"
import * as PostmasterFile from "./PostmasterFile.ts"
import * as Server from "./Server.ts"
import * as Settings from "./ServerSettings.ts"
import { awaitStreaming, awaitTimeline } from "./Streaming.ts"

/** A server and whom it is to follow. */
export interface Standby {
  readonly server: Server.Server
  readonly port: number
  /** How long it waits before it replays a commit. */
  readonly applyDelay: Duration.Duration
  readonly primary: Upstream
  readonly password: Password
}

type Operation = (standby: Standby) => Effect.Effect<void, EmbeddedPostgresError, FileSystem.FileSystem>

const signalFile = (dataDirectory: string): string => join(dataDirectory, "standby.signal")

export const isStandby = (dataDirectory: string): Effect.Effect<boolean, never, FileSystem.FileSystem> =>
  FileSystem.FileSystem.pipe(
    Effect.flatMap((fs) => fs.exists(signalFile(dataDirectory))),
    Effect.orElseSucceed(() => false)
  )

// ALTER SYSTEM wins over the file that we write; what it says about the primary belongs to another life of this node.
const forgetAlterSystem = (server: Server.Server) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = join(server.dataDirectory, "postgresql.auto.conf")
    const text = yield* fs.readFileString(path)
    const kept = text.split("\n").filter((line) => !/^\s*(primary_conninfo|port|recovery_target\w*)\s*=/.test(line))
    yield* Settings.replaceFile(server.installation.account, path, kept.join("\n"))
  }).pipe(Effect.mapError(fromPlatform("write configuration", server.name)))

/** Writes down that the server is a standby of its primary. */
const configure: Operation = ({ applyDelay, password, port, primary, server }) =>
  Effect.gen(function* () {
    const { account } = server.installation
    yield* Settings.writeNode(account, server.dataDirectory, {
      port,
      applyDelay,
      primaryConnection: Endpoint.primaryConnection(server.name, primary.port, password)
    })
    yield* forgetAlterSystem(server)
    yield* Settings.replaceFile(account, signalFile(server.dataDirectory), "")
  })

/** Starts a server on a copy of its primary. */
export const start: Operation = (standby) =>
  Effect.zipRight(configure(standby), Server.start(standby.server, standby.port))

/** How long a standby may take to find out that it can or cannot follow, before a new copy is made. */
const followPatience = Duration.seconds(3)

// Without a copy: a running standby is pointed at the primary, a stopped server is started as its standby.
const follow: Operation = (standby) =>
  Effect.gen(function* () {
    const { password, port, primary, server } = standby
    const running = Option.isSome(yield* PostmasterFile.running(server.dataDirectory))
    yield* running ? Effect.zipRight(configure(standby), Server.reload(server)) : start(standby)
    yield* awaitStreaming(primary, [server.name], followPatience)
    yield* awaitTimeline({ name: server.name, url: Endpoint.url(port, password) }, primary, followPatience)
  })

/** Replaces the server's data by a new copy of the primary and starts it as its standby. */
export const recreate: Operation = (standby) =>
  Effect.gen(function* () {
    const { primary, server } = standby
    yield* Server.stop(server)
    yield* Server.removeDirectory(server.dataDirectory)
    yield* clone(server.installation, primary, server.dataDirectory)
    yield* start(standby)
    yield* awaitStreaming(primary, [server.name], "30 seconds")
  })

// A standby recovers from a crash by itself. A crashed primary may hold commits that nobody else has, and as a standby it
// would show them: it can follow only when its last word, the shutdown checkpoint, reached the others.
const mayFollow = (server: Server.Server, running: boolean) =>
  Effect.flatMap(isStandby(server.dataDirectory), (standby) =>
    standby || running ? Effect.succeed(standby) : ControlFile.stoppedCleanly(server.dataDirectory)
  )

/** Makes the server a streaming standby of the primary, with a new copy only where it is needed. */
export const rejoin: Operation = (standby) =>
  Effect.gen(function* () {
    const { server } = standby
    const running = Option.isSome(yield* PostmasterFile.running(server.dataDirectory))
    if (running) yield* Server.thaw(server)
    if (!(yield* mayFollow(server, running))) return yield* recreate(standby)
    yield* follow(standby).pipe(
      Effect.catchIf(
        (error) => error.reason === "NotStreaming" || error.reason === "StartFailed",
        () => recreate(standby)
      )
    )
  })
