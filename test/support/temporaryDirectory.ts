/**
 * Directories of tests, removed with the scope.
 */
import * as Effect from "effect/Effect"
import { chmodSync, mkdtempSync, rmSync, statfsSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** Memory where there is plenty: what is synced there costs nothing. Programs may not be allowed to run from it. */
const fastParent: string = (() => {
  try {
    const { bavail, bsize } = statfsSync("/dev/shm")
    return process.env["TMPDIR"] === undefined && bavail * bsize > 4 * 1024 ** 3 ? "/dev/shm" : tmpdir()
  } catch {
    return tmpdir()
  }
})()

/** A new directory; by default one that the account of the servers can enter too. */
export const temporaryDirectory = (options: { readonly parent?: string; readonly mode?: number } = {}) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const path = mkdtempSync(join(options.parent ?? fastParent, "plinth-test-"))
      chmodSync(path, options.mode ?? 0o755)
      return path
    }),
    (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }))
  )
