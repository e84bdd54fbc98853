/**
 * A program that opens a cluster, prints where it is as one line of JSON, and holds it until it is killed or its input
 * ends. Tests run it as a process of its own: `node --import tsx holdCluster.ts '{"replicas":1}'`.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as EmbeddedPostgres from "../../src/embedded/EmbeddedPostgres.ts"

const options: unknown = JSON.parse(process.argv[2] ?? "{}")

const inputEnds = Effect.async<void>((resume) => {
  process.stdin.on("close", () => resume(Effect.void)).resume()
})

const program = Effect.gen(function* () {
  const cluster = yield* EmbeddedPostgres.make(options ?? {})
  const nodes = [cluster.primary, ...cluster.replicas]
  const report = {
    version: cluster.serverVersion,
    urls: nodes.map((node) => Redacted.value(node.url)),
    directories: nodes.map((node) => node.dataDirectory),
    pids: (yield* Effect.forEach(nodes, (node) => node.pid)).flatMap((pid) => (pid._tag === "Some" ? [pid.value] : []))
  }
  yield* Effect.sync(() => process.stdout.write(`${JSON.stringify(report)}\n`))
  yield* inputEnds
})

Effect.runPromise(Effect.scoped(program)).then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    process.exit(1)
  }
)
