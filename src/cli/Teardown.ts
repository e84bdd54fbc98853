/**
 * The exit code of the process, and its deadline after a signal: `runMain` alone ends with 0 after Ctrl-C, and waits for
 * finalizers without limit.
 */
import type { Teardown } from "@effect/platform/Runtime"
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { Finished } from "./Exit.ts"

/** 128 and the number of the signal, as a shell reports it. */
const codes = { SIGINT: 130, SIGTERM: 143 } as const

/** How long a command may take to leave things clean after the first signal. A second signal ends it at once. */
const graceMillis = 5000

/** Which signal came first. */
export interface Signals {
  readonly code: () => number | undefined
}

/** Notes the first signal and starts its deadline. `runMain` interrupts the program on the same signal. */
export const watchSignals = (): Signals => {
  let code: number | undefined
  const onSignal = (signal: "SIGINT" | "SIGTERM") => {
    if (code !== undefined) process.exit(code)
    const mine = codes[signal]
    code = mine
    // Whatever still runs then is ended by its own means: the server notices that the client is gone.
    setTimeout(() => process.exit(mine), graceMillis).unref()
  }
  process.on("SIGINT", onSignal)
  process.on("SIGTERM", onSignal)
  // A closed terminal is a request to end like any other; Node's default would skip every finalizer.
  process.once("SIGHUP", () => process.kill(process.pid, "SIGTERM"))
  return { code: () => code }
}

/** The exit code of the program's end. */
export const teardown =
  (signals: Signals): Teardown =>
  (exit, onExit) => {
    const finished = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : undefined
    if (Exit.isSuccess(exit)) onExit(0)
    else if (finished instanceof Finished) onExit(finished.code)
    else onExit(signals.code() ?? 1)
  }
