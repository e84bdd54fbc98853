/**
 * The exit code of the process: `runMain` alone ends with 0 after Ctrl-C.
 */
import type { Teardown } from "@effect/platform/Runtime"
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { Signals } from "../internal/node/signals.ts"
import { Finished } from "./Exit.ts"

/** The exit code of the program's end: its own, else that of the signal that interrupted it. */
export const teardown =
  (signals: Signals): Teardown =>
  (exit, onExit) => {
    const finished = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : undefined
    if (Exit.isSuccess(exit)) onExit(0)
    else if (finished instanceof Finished) onExit(finished.code)
    else onExit(signals.code() ?? 1)
  }
