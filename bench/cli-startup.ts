/**
 * What the program costs before it does anything: CPU time of `--version`, `--help`, a usage error and a command without
 * a database, against `node -e 0`. The bundle is measured as it is published, so `npm run build` comes first.
 */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

const program = fileURLToPath(new URL("../dist/bin/plinth.js", import.meta.url))

interface Row {
  readonly name: string
  readonly args: ReadonlyArray<string>
  /** CPU time in times of `node -e 0`; absent where nothing is promised. */
  readonly goal?: number
}

const rows: ReadonlyArray<Row> = [
  { name: "node -e 0", args: ["-e", "0"] },
  { name: "plinth --version", args: [program, "--version"], goal: 2 },
  { name: "plinth --help", args: [program, "--help"], goal: 3 },
  { name: "plinth migrate up --help", args: [program, "migrate", "up", "--help"], goal: 3 },
  { name: "plinth migrat (usage error)", args: [program, "migrat"], goal: 3 },
  { name: "plinth config", args: [program, "config"] },
  { name: 'plinth route "SELECT 1"', args: [program, "route", "SELECT 1"] }
]

const rounds = process.argv.includes("--quick") ? 5 : 25

/** CPU time of all children that have ended, from the kernel's own count, which is kept in ticks of 10 ms. */
const childrenMillis = (): number => {
  const fields = readFileSync("/proc/self/stat", "utf8").split(") ")[1]?.split(" ") ?? []
  return (Number(fields[13]) + Number(fields[14])) * 10
}

const run = (args: ReadonlyArray<string>): Effect.Effect<void> =>
  Effect.async((resume) => {
    spawn(process.execPath, args, { stdio: "ignore" }).on("close", () => resume(Effect.void))
  })

export const main: Effect.Effect<void> = Effect.gen(function* () {
  if (!existsSync(program)) return yield* Effect.dieMessage("dist/bin/plinth.js is not there: run npm run build first")
  const millis = rows.map(() => 0)
  // Interleaved, so that a busy moment of the machine falls on every row. One tick is coarse; many rounds are not.
  for (let round = 0; round < rounds; round++) {
    for (const [index, { args }] of rows.entries()) {
      const before = childrenMillis()
      yield* run(args)
      millis[index] = (millis[index] ?? 0) + childrenMillis() - before
    }
  }
  const base = millis[0] ?? 1
  yield* Console.log("start-up                         CPU ms   of node   goal")
  for (const [index, { goal, name }] of rows.entries()) {
    const total = millis[index] ?? 0
    const ratio = total / base
    const verdict = goal === undefined ? "" : `< ${goal} ${ratio < goal ? "met" : "MISSED"}`
    yield* Console.log(
      `${name.padEnd(30)} ${(total / rounds).toFixed(1).padStart(8)} ${`${ratio.toFixed(2)}x`.padStart(9)}   ${verdict}`.trimEnd()
    )
  }
})
