#!/usr/bin/env node
/**
 * The `plinth` program. It loads a library only when a command runs: the rest is answered from the definitions.
 */
import { watch } from "../internal/node/signals.ts"
import { answer } from "./Answers.ts"
import { parse } from "./Argv.ts"
import { root } from "./specs/root.ts"

// Without a listener the EPIPE of a closed pipe (`| head`) is an uncaught exception.
process.stdout.on("error", () => {})
process.stderr.on("error", () => {})

const request = parse(root, process.argv.slice(2))

if (request._tag === "Run") {
  const signals = watch()
  const [{ program }, { runMain }, { teardown }] = await Promise.all([
    import("./Program.ts"),
    import("@effect/platform-node/NodeRuntime"),
    import("./Teardown.ts")
  ])
  // A signal that came while the code was loading has nothing to clean up.
  const code = signals.code()
  if (code !== undefined) process.exit(code)
  runMain(program(request.args), {
    disableErrorReporting: true,
    disablePrettyLogger: true,
    teardown: teardown(signals)
  })
} else {
  const { code, stream, text } = answer(request, process.stdout.columns ?? 0)
  process[stream].write(text)
  process.exitCode = code
}
