#!/usr/bin/env node
/**
 * The `plinth` program: answers help, version, completions and wrong usage from the definitions alone, and loads the rest
 * of itself only when a command runs.
 */
import { parse } from "./Argv.ts"
import { root } from "./specs/root.ts"
import { watch } from "../internal/node/signals.ts"
import { packageVersion } from "../internal/packageVersion.ts"

const width = Math.min(process.stdout.columns ?? 100, 120)

// Without a listener the EPIPE of a closed pipe (`| head`) is an uncaught exception.
process.stdout.on("error", () => {})
process.stderr.on("error", () => {})

const request = parse(root, process.argv.slice(2))

switch (request._tag) {
  case "Version":
    process.stdout.write(`${packageVersion}\n`)
    break
  case "Help": {
    const { help } = await import("./Help.ts")
    process.stdout.write(`${help(request.path, request.spec, width)}\n`)
    break
  }
  case "Completions": {
    const { completions } = await import("./Completions.ts")
    process.stdout.write(`${completions(root, request.shell)}\n`)
    break
  }
  case "Refused":
    process.stderr.write(`Error: ${request.problem}. ${request.advice}\n`)
    process.exitCode = request.code
    break
  case "Run": {
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
  }
}
