/**
 * Makes a server follow a primary: the signal file, where the WAL comes from, and the proof that it streams.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { join } from "node:path"
import { clone } from "./Clone.ts"
import * as ControlSession from "./ControlSession.ts"
import { EmbeddedPostgresError, fromPlatform } from "./EmbeddedPostgresError.ts"
import * as PostmasterFile from "./PostmasterFile.ts"
import * as Server from "./Server.ts"
import * as Settings from "./ServerSettings.ts"

/** The superuser's password; none where the cluster trusts every local connection. */
export type Password = Option.Option<Redacted.Redacted>

interface Endpoint {
  readonly name: string
  readonly url: Redacted.Redacted
}

/** What a standby has to know about its primary. */
export interface Upstream extends Endpoint {
  readonly port: number
  readonly dataDirectory: string
}

const primaryConnection = (name: string, port: number, password: Password): string =>
  Settings.connectionString({
    host: "127.0.0.1",
    port: String(port),
    user: "postgres",
    application_name: name,
    ...Option.match(password, { onNone: () => ({}), onSome: (secret) => ({ password: Redacted.value(secret) }) })
  })

/** The superuser's URL of the server on that port. */
export const url = (port: number, password: Password): Redacted.Redacted => {
  const credentials = Option.match(password, {
    onNone: () => "postgres",
    onSome: (secret) => `postgres:${encodeURIComponent(Redacted.value(secret))}`
  })
  return Redacted.make(`postgres://${credentials}@127.0.0.1:${port}/postgres`)
}

const signalFile = (dataDirectory: string): string => join(dataDirectory, "standby.signal")

export const isStandby = (dataDirectory: string): Effect.Effect<boolean, never, FileSystem.FileSystem> =>
  FileSystem.FileSystem.pipe(
    Effect.flatMap((fs) => fs.exists(signalFile(dataDirectory))),
    Effect.orElseSucceed(() => false)
  )

const controlFile = (dataDirectory: string) =>
  FileSystem.FileSystem.pipe(
    Effect.flatMap((fs) => fs.readFile(join(dataDirectory, "global", "pg_control"))),
    Effect.map((bytes) => new DataView(bytes.buffer, bytes.byteOffset)),
    Effect.mapError(fromPlatform("read the control file"))
  )

// DBState in pg_control.h, the same from 14 to 18: shut down, shut down in recovery.
const cleanStates = [1, 2]

/** Whether the server was stopped in good order. */
const stoppedCleanly = (dataDirectory: string) =>
  Effect.map(controlFile(dataDirectory), (control) => cleanStates.includes(control.getUint32(16, true)))

/** The timeline of the last checkpoint. */
export const timeline = (dataDirectory: string): Effect.Effect<number, EmbeddedPostgresError, FileSystem.FileSystem> =>
  Effect.map(controlFile(dataDirectory), (control) => control.getUint32(48, true))

// ALTER SYSTEM wins over the file that we write; what it says about the primary belongs to another life of this node.
const forgetAlterSystem = (server: Server.Server) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = join(server.dataDirectory, "postgresql.auto.conf")
    const text = yield* fs.readFileString(path)
    const kept = text.split("\n").filter((line) => !/^\s*(primary_conninfo|port|recovery_target\w*)\s*=/.test(line))
    yield* Settings.replaceFile(server.installation.account, path, kept.join("\n"))
  }).pipe(Effect.mapError(fromPlatform("write configuration", server.name)))

/** What a standby is, apart from whom it follows. */
export interface Self {
  readonly port: number
  readonly applyDelay: Duration.Duration
}

/** Writes down that the server is a standby of the primary on that port. */
export const configure = (
  server: Server.Server,
  self: Self,
  upstreamPort: number,
  password: Password
): Effect.Effect<void, EmbeddedPostgresError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const { account } = server.installation
    yield* Settings.writeNode(account, server.dataDirectory, {
      ...self,
      primaryConnection: primaryConnection(server.name, upstreamPort, password)
    })
    yield* forgetAlterSystem(server)
    yield* Settings.replaceFile(account, signalFile(server.dataDirectory), "")
  })

const Count = Schema.Struct({ streaming: Schema.Number })
const streamingStandbys = (names: ReadonlyArray<string>) =>
  `select count(distinct application_name)::int as streaming from pg_catalog.pg_stat_replication
   where state = 'streaming' and application_name in (${names.map((name) => `'${name}'`).join(", ")})`

/** Waits until the primary sends its newest WAL to all of these standbys. */
export const awaitStreaming = (
  primary: Upstream,
  names: ReadonlyArray<string>,
  patience: Duration.DurationInput
): Effect.Effect<void, EmbeddedPostgresError> =>
  names.length === 0
    ? Effect.void
    : Effect.flatMap(ControlSession.open(primary, "await streaming"), (session) =>
        session.rows(Count, streamingStandbys(names)).pipe(
          Effect.repeat({
            until: ([row]) => row?.streaming === names.length,
            schedule: Schedule.spaced(Duration.millis(10))
          })
        )
      ).pipe(
        Effect.scoped,
        Effect.timeoutFail({
          duration: patience,
          onTimeout: () =>
            new EmbeddedPostgresError({
              reason: "NotStreaming",
              operation: "await streaming",
              node: primary.name,
              description: `not all of ${names.join(", ")} receive WAL after ${Duration.format(patience)}`
            })
        }),
        Effect.asVoid
      )

/** How long a standby may take to find out that it can or cannot follow, before a new copy is made. */
const followPatience = Duration.seconds(3)

const Timeline = Schema.Struct({ timeline: Schema.Number })

// pg_walfile_name has the timeline in its first eight hexadecimal digits; the control file is late after a promotion.
const written = `select ('x' || substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8))::bit(32)::int
  as timeline`
const received = `select coalesce(max(received_tli), 0) as timeline from pg_catalog.pg_stat_wal_receiver
  where status = 'streaming'`

// A server whose history has diverged is sent what both have in common, again and again: it streams for moments, but
// never on the timeline of the primary.
const awaitTimeline = (standby: Endpoint, primary: Upstream) =>
  Effect.gen(function* () {
    const source = yield* ControlSession.open(primary, "await timeline")
    const [current] = yield* source.rows(Timeline, written)
    const session = yield* ControlSession.open(standby, "await timeline")
    yield* session.rows(Timeline, received).pipe(
      Effect.repeat({
        until: ([row]) => row?.timeline === current?.timeline,
        schedule: Schedule.spaced(Duration.millis(10))
      })
    )
  }).pipe(
    Effect.scoped,
    Effect.timeoutFail({
      duration: followPatience,
      onTimeout: () =>
        new EmbeddedPostgresError({
          reason: "NotStreaming",
          operation: "await timeline",
          node: standby.name,
          description: `it does not follow the timeline of ${primary.name}`
        })
    })
  )

// Without a copy: a running standby is pointed at the primary, a stopped server is started as its standby.
const follow = (server: Server.Server, self: Self, primary: Upstream, password: Password) =>
  Effect.gen(function* () {
    yield* configure(server, self, primary.port, password)
    const running = yield* PostmasterFile.running(server.dataDirectory)
    yield* Option.isSome(running) ? Server.reload(server) : Server.start(server, self.port)
    yield* awaitStreaming(primary, [server.name], followPatience)
    yield* awaitTimeline({ name: server.name, url: url(self.port, password) }, primary)
  })

/** Replaces the server's data by a new copy of the primary and starts it as its standby. */
export const recreate = (
  server: Server.Server,
  self: Self,
  primary: Upstream,
  password: Password
): Effect.Effect<void, EmbeddedPostgresError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    yield* Server.stop(server)
    yield* Server.removeDirectory(server.dataDirectory)
    yield* clone(server.installation, primary, server.dataDirectory)
    yield* configure(server, self, primary.port, password)
    yield* Server.start(server, self.port)
    yield* awaitStreaming(primary, [server.name], "30 seconds")
  })

// A standby recovers from a crash by itself. A crashed primary may hold commits that nobody else has, and as a standby it
// would show them: it can follow only when its last word, the shutdown checkpoint, reached the others.
const mayFollow = (server: Server.Server, running: boolean) =>
  Effect.flatMap(isStandby(server.dataDirectory), (standby) =>
    standby || running ? Effect.succeed(standby) : stoppedCleanly(server.dataDirectory)
  )

/** Makes the server a streaming standby of the primary, with a new copy only where it is needed. */
export const rejoin = (
  server: Server.Server,
  self: Self,
  primary: Upstream,
  password: Password
): Effect.Effect<void, EmbeddedPostgresError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const running = Option.isSome(yield* PostmasterFile.running(server.dataDirectory))
    if (running) yield* Server.thaw(server)
    const again = recreate(server, self, primary, password)
    if (!(yield* mayFollow(server, running))) return yield* again
    yield* follow(server, self, primary, password).pipe(
      Effect.catchIf(
        (error) => error.reason === "NotStreaming" || error.reason === "StartFailed",
        () => again
      )
    )
  })
