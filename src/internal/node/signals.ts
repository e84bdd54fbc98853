/**
 * The signals that end this process: the first asks for a clean end within a deadline, a later one ends it at once.
 */

/** 128 and the number of the signal, as a shell reports it. */
const codes = { SIGINT: 130, SIGTERM: 143 } as const

/** How long a program may take to leave things clean after the first signal. */
const graceMillis = 5000

/**
 * How long a second signal is taken for an echo of the first: npm passes on what the terminal has sent to every process
 * already, 50 ms later (measured, npm 10). A person who wants an end at once asks again.
 */
const echoMillis = 1000

/** What has arrived. */
export interface Signals {
  /** The exit code of the first signal. */
  readonly code: () => number | undefined
}

/** Notes the first signal and starts its deadline. Whoever runs the program interrupts it on the same signal. */
export const watch = (): Signals => {
  let first: { readonly code: number; readonly atMillis: number } | undefined
  const onSignal = (signal: keyof typeof codes) => {
    const atMillis = performance.now()
    if (first !== undefined) {
      if (atMillis - first.atMillis >= echoMillis) process.exit(first.code)
      return
    }
    const code = codes[signal]
    first = { code, atMillis }
    // It runs when the program's own runtime is what hangs. What is left then ends by other means: servers notice that
    // their client is gone, and the embedded ones have a watchdog.
    // @effect-diagnostics-next-line globalTimers:off
    setTimeout(() => process.exit(code), graceMillis).unref()
  }
  process.on("SIGINT", onSignal)
  process.on("SIGTERM", onSignal)
  // A closed terminal is a request to end like any other; Node's default would skip every finalizer.
  process.on("SIGHUP", () => raise("SIGTERM"))
  return { code: () => first?.code }
}

/** Sends a signal to this process. */
export const raise = (signal: keyof typeof codes): void => {
  process.kill(process.pid, signal)
}
