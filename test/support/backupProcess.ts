/**
 * A program that makes (or restores) a backup and stops at a chosen stage, so that a test can kill it there: `URL STORE
 * STAGE [TARGET]`. It prints the stage when it has reached it.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import type { Backup } from "effect-plinth"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { service } from "./backups.ts"
import * as FaultyFiles from "./faultyFiles.ts"

const [url = "", store = "", stage = "", target = ""] = process.argv.slice(2)

// A write that the system has cannot be interrupted; this one has not reached it.
const stop = Effect.zipRight(
  Effect.sync(() => process.stdout.write(`at ${stage}\n`)),
  Effect.interruptible(Effect.never)
)

const isAt = ({ method, path }: FaultyFiles.Operation): boolean => {
  switch (stage) {
    case "lock":
      return method === "write" && path.endsWith(".lock")
    case "manifest":
      return method === "write" && path.endsWith("manifest.json")
    case "rename":
      return method === "rename" && !path.endsWith(".trash")
    case "directory":
      return method === "open" && path === store
    default:
      return false
  }
}

const onProgress: Backup.OnProgress = ({ bytes, phase }) => {
  const here = phase === "copy" ? (bytes > 0 ? "copy" : "start") : phase === "restore" && bytes > 0 ? "restore" : phase
  return here === stage ? stop : Effect.void
}

const program = Effect.gen(function* () {
  const backup = yield* service(store, { url: Redacted.make(url) })
  if (target === "") yield* backup.create({ onProgress })
  else yield* backup.restore("latest", { directory: target, onProgress })
  process.stdout.write("done\n")
}).pipe(Effect.scoped, Effect.provide(FaultyFiles.context((operation) => (isAt(operation) ? stop : Effect.void))))

NodeRuntime.runMain(program)
