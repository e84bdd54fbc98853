/** Says `N passed, N failed, N skipped` of vitest's JSON report; a file that could not even load is one failure. */
import { readFileSync } from "node:fs"

const count = (path) => {
  try {
    const report = JSON.parse(readFileSync(path, "utf8"))
    const unloaded = report.testResults.filter(
      ({ status, assertionResults }) =>
        status === "failed" && assertionResults.every((test) => test.status !== "failed")
    ).length
    return {
      passed: report.numPassedTests,
      failed: report.numFailedTests + unloaded,
      skipped: report.numPendingTests + report.numTodoTests
    }
  } catch (error) {
    console.error(`no report of the tests: ${error.message}`)
    return { passed: 0, failed: 1, skipped: 0 }
  }
}

const { passed, failed, skipped } = count(process.argv[2])
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`)
process.exitCode = failed === 0 && passed > 0 ? 0 : 1
