/**
 * The signals that end this process: the first asks for a clean end within a deadline, the second ends it at once.
 */

/** 128 and the number of the signal, as a shell reports it. */
const codes = { SIGINT: 130, SIGTERM: 143 } as const

/** How long a program may take to leave things clean after the first signal. */
const graceMillis = 5000

/** What has arrived. */
export interface Signals {
  /** The exit code of the first signal. */
  readonly code: () => number | undefined
}

/** Notes the first signal and starts its deadline. Whoever runs the program interrupts it on the same signal. */
export const watch = (): Signals => {
  let code: number | undefined
  const onSignal = (signal: keyof typeof codes) => {
    if (code !== undefined) process.exit(code)
    const mine = codes[signal]
    code = mine
    // It runs when the program's own runtime is what hangs. What is left then ends by other means: servers notice that
    // their client is gone, and the embedded ones have a watchdog.
    // @effect-diagnostics-next-line globalTimers:off
    setTimeout(() => process.exit(mine), graceMillis).unref()
  }
  process.on("SIGINT", onSignal)
  process.on("SIGTERM", onSignal)
  // A closed terminal is a request to end like any other; Node's default would skip every finalizer.
  process.once("SIGHUP", () => raise("SIGTERM"))
  return { code: () => code }
}

/** Sends a signal to this process. */
export const raise = (signal: keyof typeof codes): void => {
  process.kill(process.pid, signal)
}
