/**
 * pgbouncer in transaction mode in front of a server, where the machine has one (Debian's package `pgbouncer`).
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { existsSync, writeFileSync } from "node:fs"
import { connect } from "node:net"
import { join } from "node:path"
import * as Port from "../../src/embedded/Port.ts"
import { run } from "../../src/embedded/Program.ts"
import * as ServerAccount from "../../src/embedded/ServerAccount.ts"
import * as Watchdog from "../../src/embedded/Watchdog.ts"
import { temporaryDirectory } from "./temporaryDirectory.ts"

const binary = "/usr/sbin/pgbouncer"

export const isInstalled = existsSync(binary)

export interface PgBouncer {
  /** The database through the pooler. */
  readonly url: Redacted.Redacted
  /** Ends the pooler at once. */
  readonly stop: Effect.Effect<void>
  /** Starts it again on its port; nothing when it runs. */
  readonly start: Effect.Effect<void, Error>
}

const configuration = (target: URL, port: number, settings: Readonly<Record<string, string>>): string =>
  [
    "[databases]",
    // With `any` a client's name is not looked at, and the server sees the user of this line.
    `* = host=127.0.0.1 port=${target.port} user=${target.username}`,
    "[pgbouncer]",
    "listen_addr = 127.0.0.1",
    `listen_port = ${port}`,
    "unix_socket_dir =",
    "auth_type = any",
    "pool_mode = transaction",
    ...Object.entries(settings).map(([name, value]) => `${name} = ${value}`),
    ""
  ].join("\n")

const accepts = (port: number) =>
  Effect.async<boolean>((resume) => {
    const socket = connect({ host: "127.0.0.1", port })
    const answer = (listens: boolean) => {
      socket.destroy()
      resume(Effect.succeed(listens))
    }
    socket.once("connect", () => answer(true)).once("error", () => answer(false))
  })

/** Waits until somebody listens on the port, or the program that should has ended. */
const awaitListening = (port: number, program: Fiber.RuntimeFiber<unknown>): Effect.Effect<void, Error> =>
  Effect.flatMap(accepts(port), (listens) =>
    listens
      ? Effect.void
      : Effect.flatMap(Fiber.poll(program), (ended) =>
          Option.isSome(ended)
            ? Effect.fail(new Error(`pgbouncer ended: ${JSON.stringify(ended.value)}`))
            : Effect.delay(awaitListening(port, program), "10 millis")
        )
  )

/** Starts a pooler in front of the server of the URL; it ends with the scope. */
export const make = (original: Redacted.Redacted, settings: Readonly<Record<string, string>> = {}) =>
  Effect.gen(function* () {
    const url = new URL(Redacted.value(original))
    const account = yield* ServerAccount.find
    const watchdog = yield* Watchdog.make
    const directory = yield* temporaryDirectory()
    const port = yield* Port.find
    const file = join(directory, "pgbouncer.ini")
    yield* Effect.sync(() => writeFileSync(file, configuration(url, port, settings), { mode: 0o644 }))
    const scope = yield* Effect.scope
    let running = Option.none<Fiber.Fiber<unknown>>()

    const stop = Effect.suspend(() => {
      const fiber = running
      running = Option.none()
      return Option.isSome(fiber) ? Fiber.interrupt(fiber.value) : Effect.void
    }).pipe(Effect.asVoid)
    const start = Effect.suspend(() =>
      Option.isSome(running)
        ? Effect.void
        : Effect.gen(function* () {
            const ends = run(account, binary, [file], { onStart: Watchdog.watch(watchdog) })
            const fiber = yield* Effect.forkIn(ends, scope)
            running = Option.some(fiber)
            yield* awaitListening(port, fiber)
          })
    )
    yield* start
    url.port = String(port)
    const pooler: PgBouncer = { url: Redacted.make(url.href), stop, start }
    return pooler
  }).pipe(Effect.provide(NodeFileSystem.layer))
