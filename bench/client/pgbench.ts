/**
 * The limit of the server: pgbench, which is written in C and does nothing else, where it is installed.
 */
import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"
import { existsSync, mkdtempSync, readdirSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const scripts = {
  select: "\\set id random(1, 100000)\nSELECT id, filler, balance FROM bench WHERE id = :id;\n",
  transaction: "\\set id random(1, 100000)\nBEGIN;\nUPDATE bench SET balance = balance + 1 WHERE id = :id;\nCOMMIT;\n"
}

/** Of the newest installation in Debian's place, or of the PATH. */
const find = (): string | undefined => {
  const root = "/usr/lib/postgresql"
  const versions = existsSync(root) ? readdirSync(root).sort((a, b) => Number(b) - Number(a)) : []
  return [...versions.map((version) => join(root, version, "bin")), ...(process.env["PATH"] ?? "").split(":")]
    .map((directory) => join(directory, "pgbench"))
    .find((path) => existsSync(path))
}

/** Transactions per second with so many connections; undefined where there is no pgbench. */
export const pgbench = (
  url: string,
  workload: keyof typeof scripts,
  connections: number
): Effect.Effect<number | undefined> =>
  Effect.async((resume) => {
    const program = find()
    if (program === undefined) return resume(Effect.succeed(undefined))
    const script = join(mkdtempSync(join(tmpdir(), "plinth-bench-")), "script.sql")
    writeFileSync(script, scripts[workload])
    const options = ["-n", "-M", "prepared", "-T", "3", "-c", String(connections), "-f", script, url]
    execFile(program, options, (error, stdout) => {
      const tps = /^tps = ([\d.]+)/m.exec(stdout)?.[1]
      resume(Effect.succeed(error === null && tps !== undefined ? Number(tps) : undefined))
    })
  })
