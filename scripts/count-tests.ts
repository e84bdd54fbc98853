/** Says `N passed, N failed, N skipped` of vitest's JSON report; a file that could not even load is one failure. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const Report = Schema.parseJson(
  Schema.Struct({
    numPassedTests: Schema.Int,
    numFailedTests: Schema.Int,
    numPendingTests: Schema.Int,
    numTodoTests: Schema.Int,
    testResults: Schema.Array(
      Schema.Struct({
        status: Schema.String,
        assertionResults: Schema.Array(Schema.Struct({ status: Schema.String }))
      })
    )
  })
)

const count = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const report = yield* Schema.decode(Report)(yield* fs.readFileString(process.argv[2] ?? ""))
  const unloaded = report.testResults.filter(
    ({ status, assertionResults }) => status === "failed" && assertionResults.every((test) => test.status !== "failed")
  )
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + unloaded.length,
    skipped: report.numPendingTests + report.numTodoTests
  }
}).pipe(
  Effect.catchAll((error) =>
    Effect.as(Console.error(`no report of the tests: ${error.message}`), { passed: 0, failed: 1, skipped: 0 })
  )
)

const say = Effect.gen(function* () {
  const { passed, failed, skipped } = yield* count
  yield* Console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`)
  if (failed > 0 || passed === 0) yield* Effect.sync(() => (process.exitCode = 1))
})

NodeRuntime.runMain(say.pipe(Effect.provide(NodeContext.layer)))
