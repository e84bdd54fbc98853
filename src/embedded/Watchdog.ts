/**
 * A small process that outlives this one just long enough to clean up: it holds a pipe that closes when we die, however
 * we die, and then stops our servers and removes our throw-away directories.
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { ChildProcess } from "node:child_process"
import { spawn } from "node:child_process"
import { environment } from "./Program.ts"
import { script } from "./Watchdog/script.ts"

/** What is left to do when this process dies. */
export interface Duties {
  /** Programs to end. */
  readonly pids: ReadonlyArray<number>
  /** Data directories whose servers to stop. */
  readonly servers: ReadonlyArray<string>
  /** Directories to remove. */
  readonly remove: ReadonlyArray<string>
  /** Our entry among the users of a persistent cluster: its servers are stopped only when nobody else is left. */
  readonly membership: { readonly entry: string; readonly lock: string } | undefined
}

export interface Watchdog {
  /** Changes the duties; synchronous, so that no instant passes between a spawn and its registration. */
  readonly update: (change: (duties: Duties) => Duties) => void
}

const initial: Duties = { pids: [], servers: [], remove: [], membership: undefined }

/** Starts the watchdog; it is dismissed when the scope closes. */
export const make: Effect.Effect<Watchdog, never, Scope.Scope> = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => {
      const { NODE_OPTIONS: _, ...env } = environment()
      // Detached: Ctrl-C in the terminal must reach this process only. Unreferenced: it must not keep us alive.
      const child = spawn(process.execPath, ["-e", script], {
        cwd: "/",
        env,
        detached: true,
        stdio: ["pipe", "ignore", "ignore"]
      })
      child.on("error", () => {})
      child.stdin.on("error", () => {})
      child.unref()
      return child
    }),
    (child) =>
      // Nothing is left to do: the servers were stopped by finalizers that ran before this one.
      Effect.sync(() => child.kill("SIGKILL")).pipe(
        Effect.zipRight(
          Effect.repeat(
            Effect.sync(() => child.pid === undefined || child.exitCode !== null || child.signalCode !== null),
            { until: (ended) => ended, schedule: Schedule.spaced("5 millis").pipe(Schedule.upTo("5 seconds")) }
          )
        )
      )
  ),
  (child) => {
    let duties = initial
    return {
      update: (change) => {
        duties = change(duties)
        child.stdin.write(`${JSON.stringify(duties)}\n`)
      }
    }
  }
)

/** Watches a program while it runs; its pid may be another's afterwards. */
export const watch =
  (watchdog: Watchdog) =>
  (child: ChildProcess): void => {
    const { pid } = child
    if (pid === undefined) return
    watchdog.update((duties) => ({ ...duties, pids: [...duties.pids, pid] }))
    child.once("exit", () =>
      watchdog.update((duties) => ({ ...duties, pids: duties.pids.filter((other) => other !== pid) }))
    )
  }

export const addServer = (watchdog: Watchdog, dataDirectory: string): Effect.Effect<void> =>
  Effect.sync(() => watchdog.update((duties) => ({ ...duties, servers: [...duties.servers, dataDirectory] })))

export const addDirectory = (watchdog: Watchdog, directory: string): Effect.Effect<void> =>
  Effect.sync(() => watchdog.update((duties) => ({ ...duties, remove: [...duties.remove, directory] })))

/** Ends the watch over a directory that is kept after all. */
export const keepDirectory = (watchdog: Watchdog, directory: string): Effect.Effect<void> =>
  Effect.sync(() =>
    watchdog.update((duties) => ({ ...duties, remove: duties.remove.filter((path) => path !== directory) }))
  )
