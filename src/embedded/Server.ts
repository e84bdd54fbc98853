/**
 * One PostgreSQL server on one data directory: start until ready, stop, kill, freeze, thaw, reload. Every operation finds
 * the server through its `postmaster.pid`, so it works as well on a server that another process started.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { spawn } from "node:child_process"
import { closeSync, openSync } from "node:fs"
import { join } from "node:path"
import { EmbeddedPostgresError, fromPlatform } from "./EmbeddedPostgresError.ts"
import type { Installation } from "./Installation.ts"
import * as Port from "./Port.ts"
import * as PostmasterFile from "./PostmasterFile.ts"
import * as ProcessTable from "./ProcessTable.ts"
import { environment, run, withInherited } from "./Program.ts"
import * as Account from "./ServerAccount.ts"
import { watch } from "./Watchdog.ts"

export interface Server {
  readonly name: string
  readonly dataDirectory: string
  readonly logFile: string
  readonly installation: Installation
  readonly startTimeout: Duration.Duration
  /** Arguments that go before all configuration files. */
  readonly args?: ReadonlyArray<string> | undefined
}

const often = Schedule.spaced(Duration.millis(5))

/** Fails with NotRunning when there is no server. */
const pid = (server: Server, operation: string): Effect.Effect<number, EmbeddedPostgresError, FileSystem.FileSystem> =>
  PostmasterFile.running(server.dataDirectory).pipe(
    Effect.flatten,
    Effect.map((file) => file.pid),
    Effect.mapError(
      () =>
        new EmbeddedPostgresError({
          reason: "NotRunning",
          operation,
          node: server.name,
          description: "the server is not running",
          path: server.dataDirectory
        })
    )
  )

const logTail = (server: Server): Effect.Effect<string, never, FileSystem.FileSystem> =>
  FileSystem.FileSystem.pipe(
    Effect.flatMap((fs) => fs.readFileString(server.logFile)),
    Effect.map((text) => text.trimEnd().split("\n").slice(-12).join("\n")),
    Effect.orElseSucceed(() => "")
  )

interface Launched {
  readonly pid: number
  /** How it ended, once it has. */
  readonly ended: () => Option.Option<string>
}

const launch = (server: Server, reach: Account.Reach): Effect.Effect<Launched, EmbeddedPostgresError> =>
  Effect.try({
    try: () => {
      const { account, binaries, watchdog } = server.installation
      const log = openSync(server.logFile, "a", 0o600)
      // A session of its own: a terminal's Ctrl-C is for this process, which stops its servers in good order.
      const child = withInherited(reach.inherited, (descriptors) =>
        spawn(join(binaries.directory, "postgres"), ["-D", reach.name, ...(server.args ?? [])], {
          cwd: "/",
          env: environment(),
          detached: true,
          stdio: ["ignore", log, log, ...descriptors],
          ...Account.identity(account)
        })
      )
      watch(watchdog)(child)
      closeSync(log)
      let ended = Option.none<string>()
      child.on("error", (cause) => (ended = Option.some(cause.message)))
      child.on("exit", (code, signal) => (ended = Option.some(`it ended with ${signal ?? `code ${code}`}`)))
      child.unref()
      return { pid: child.pid ?? -1, ended: () => ended }
    },
    catch: (cause) =>
      new EmbeddedPostgresError({
        reason: "StartFailed",
        operation: "start",
        node: server.name,
        description: cause instanceof Error ? cause.message : String(cause),
        cause
      })
  })

// Ready is what the server says in the file, and the pid there is the one that we started.
const awaitReady = (
  server: Server,
  launched: Launched,
  port: number
): Effect.Effect<void, EmbeddedPostgresError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const file = yield* PostmasterFile.read(server.dataDirectory)
    if (Option.exists(file, ({ pid, status }) => pid === launched.pid && status === "ready")) return true
    const end = launched.ended()
    if (Option.isNone(end)) return false
    const taken = !(yield* Port.isFree(port))
    return yield* new EmbeddedPostgresError({
      reason: taken ? "PortInUse" : "StartFailed",
      operation: "start",
      node: server.name,
      description: taken ? `port ${port} of 127.0.0.1 is taken` : end.value,
      path: server.dataDirectory,
      output: yield* logTail(server)
    })
  }).pipe(Effect.repeat({ until: (ready) => ready, schedule: often }), Effect.asVoid)

/** Starts the server and waits until it accepts connections. Does nothing when it runs already. */
export const start = (
  server: Server,
  port: number
): Effect.Effect<void, EmbeddedPostgresError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const current = yield* PostmasterFile.running(server.dataDirectory)
    if (Option.exists(current, (file) => file.status === "ready")) return
    yield* PostmasterFile.removeStale(server.dataDirectory)
    const reach = yield* Account.reach(server.installation.account, server.dataDirectory)
    yield* Effect.acquireUseRelease(
      launch(server, reach),
      (launched) =>
        awaitReady(server, launched, port).pipe(
          Effect.timeoutFail({
            duration: server.startTimeout,
            onTimeout: () =>
              new EmbeddedPostgresError({
                reason: "StartFailed",
                operation: "start",
                node: server.name,
                description: `the server was not ready after ${Duration.format(server.startTimeout)}`,
                path: server.dataDirectory
              })
          })
        ),
      (launched, exit) => (exit._tag === "Success" ? Effect.void : Effect.ignoreLogged(terminate(server, launched.pid)))
    )
  })

// Bounded by the schedule: nothing can interrupt a finalizer, no timeout either.
const awaitEnd = (pid: number, patience: Duration.DurationInput): Effect.Effect<boolean> =>
  Effect.sync(() => !ProcessTable.isAlive(pid)).pipe(
    Effect.repeat({ until: (ended) => ended, schedule: Schedule.upTo(often, patience) }),
    Effect.map(() => !ProcessTable.isAlive(pid))
  )

const terminate = (server: Server, pid: number) =>
  Effect.gen(function* () {
    yield* Effect.sync(() => {
      ProcessTable.thawTree(pid)
      ProcessTable.signal(pid, "SIGINT")
    })
    if (!(yield* awaitEnd(pid, "10 seconds"))) yield* kill(server)
  })

/** Fast shutdown: open transactions are rolled back. A server that does not obey within 10 s is killed. */
export const stop = (server: Server): Effect.Effect<void, EmbeddedPostgresError, FileSystem.FileSystem> =>
  Effect.flatMap(
    PostmasterFile.running(server.dataDirectory),
    Option.match({ onNone: () => Effect.void, onSome: (file) => terminate(server, file.pid) })
  )

// The main shared memory goes with its last process, but the small System V segment that guards the data directory stays
// in the kernel until the next start; a directory that is thrown away has none.
const releaseSegment = (server: Server, id: string) => run(server.installation.account, "ipcrm", ["-m", id])

/** SIGKILL for the postmaster and all backends at once: what a power cut leaves. */
export const kill = (server: Server): Effect.Effect<void, EmbeddedPostgresError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const current = yield* PostmasterFile.running(server.dataDirectory)
    if (Option.isNone(current)) return
    const { pid, sharedMemoryId } = current.value
    yield* Effect.sync(() => ProcessTable.killTree(pid))
    if (!(yield* awaitEnd(pid, "5 seconds"))) {
      return yield* new EmbeddedPostgresError({
        reason: "StopFailed",
        operation: "kill",
        node: server.name,
        description: `process ${pid} is still there`
      })
    }
    if (Option.isSome(sharedMemoryId)) yield* releaseSegment(server, sharedMemoryId.value)
  })

/** Stops the server and all its backends in their tracks: connections stay open and nothing answers. */
export const freeze = (server: Server): Effect.Effect<void, EmbeddedPostgresError, FileSystem.FileSystem> =>
  Effect.map(pid(server, "freeze"), ProcessTable.freezeTree)

export const thaw = (server: Server): Effect.Effect<void, EmbeddedPostgresError, FileSystem.FileSystem> =>
  Effect.map(pid(server, "thaw"), ProcessTable.thawTree)

/** Makes a running server read its configuration again. */
export const reload = (server: Server): Effect.Effect<void, EmbeddedPostgresError, FileSystem.FileSystem> =>
  Effect.map(pid(server, "reload"), (pid) => void ProcessTable.signal(pid, "SIGHUP"))

/**
 * Starts a server on a free port and returns the port; another one is taken when someone else is faster. `preferred` is
 * used where it is free.
 */
export const startOnFreePort = (
  startOn: (port: number) => Effect.Effect<void, EmbeddedPostgresError, FileSystem.FileSystem>,
  preferred: Option.Option<number> = Option.none()
): Effect.Effect<number, EmbeddedPostgresError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const port = Option.isSome(preferred) && (yield* Port.isFree(preferred.value)) ? preferred.value : yield* Port.find
    yield* startOn(port)
    return port
  }).pipe(Effect.retry({ times: 5, while: (error) => error.reason === "PortInUse" }))

/** Removes a directory that no server uses any more. */
export const removeDirectory = (directory: string): Effect.Effect<void, EmbeddedPostgresError, FileSystem.FileSystem> =>
  FileSystem.FileSystem.pipe(
    Effect.flatMap((fs) => fs.remove(directory, { recursive: true, force: true })),
    Effect.retry({ times: 5, schedule: Schedule.spaced(Duration.millis(50)) }),
    Effect.mapError(fromPlatform("remove a directory"))
  )
