/**
 * A physical backup: Plinth beside pg_basebackup, interleaved, on a pgbench database of about 300 MB.
 *
 * Both write a tar with a SHA-256 manifest to the same disk. CPU is the client's own: for Plinth this process
 * (`process.cpuUsage`), for pg_basebackup what the shell's `times` says of it; figures are medians over rounds. Resident
 * is the highest value of this process during a copy, less what it was before. Needs a server package with pgbench and
 * pg_basebackup; BENCH_PG_BIN names its directory.
 */
import * as Command from "@effect/platform/Command"
import * as FileSystem from "@effect/platform/FileSystem"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { Backup, DatabaseConfig } from "effect-plinth"
import { EmbeddedPostgres } from "effect-plinth/embedded"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { execFileSync } from "node:child_process"
import { existsSync } from "node:fs"
import { join } from "node:path"

const quick = process.argv.includes("--quick")
const rounds = quick ? 2 : 5
const scale = quick ? 5 : 20
const binaries = process.env["BENCH_PG_BIN"] ?? "/usr/lib/postgresql/15/bin"

interface Sample {
  readonly wallMillis: number
  readonly cpuMillis: number
  readonly storedBytes: number
  readonly residentBytes: number | undefined
}

interface Candidate {
  readonly name: string
  /** Makes one backup into an empty directory. */
  readonly run: (directory: string) => Effect.Effect<Sample, unknown, FileSystem.FileSystem>
}

const storedBytes = (directory: string): number =>
  Number(execFileSync("du", ["-sb", directory], { encoding: "utf8" }).split("\t")[0])

const plinth = (
  source: DatabaseConfig.ConnectionTarget,
  name: string,
  options: Partial<Backup.Options>
): Candidate => ({
  name,
  run: (directory) =>
    Effect.gen(function* () {
      const backup = yield* Backup.Backup
      const before = process.memoryUsage.rss()
      let highest = before
      const [cpu, started] = [process.cpuUsage(), performance.now()]
      yield* backup.create({
        onProgress: () => Effect.sync(() => (highest = Math.max(highest, process.memoryUsage.rss())))
      })
      const used = process.cpuUsage(cpu)
      return {
        wallMillis: performance.now() - started,
        cpuMillis: (used.user + used.system) / 1000,
        storedBytes: storedBytes(directory),
        residentBytes: highest - before
      }
    }).pipe(Effect.provide(Backup.layer({ ...options, source, directory })), Effect.provide(NodeContext.layer))
})

const pgBaseBackup = (port: number, name: string, compression: string): Candidate => ({
  name,
  run: (directory) =>
    Effect.sync(() => {
      const command =
        `${binaries}/pg_basebackup -h 127.0.0.1 -p ${port} -U postgres -D ${directory} -Ft -X fetch -c fast ` +
        `--manifest-checksums=SHA256 ${compression}`
      const started = performance.now()
      const output = execFileSync("bash", ["-c", `${command} && times`], { encoding: "utf8" })
      const wallMillis = performance.now() - started
      // The second line of `times` is about the children: user and system, as 0m1.234s.
      const spent = [...(output.trim().split("\n").at(-1) ?? "").matchAll(/(\d+)m([\d.]+)s/g)]
      const cpuMillis = spent.reduce(
        (sum, [, minutes, seconds]) => sum + Number(minutes) * 60e3 + Number(seconds) * 1e3,
        0
      )
      return { wallMillis, cpuMillis, storedBytes: storedBytes(directory), residentBytes: undefined }
    })
})

const median = (values: ReadonlyArray<number>): number =>
  [...values].sort((left, right) => left - right)[Math.floor(values.length / 2)] ?? Number.NaN

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(0)

const row = (name: string, samples: ReadonlyArray<Sample>, clusterBytes: number): string => {
  const of = (field: (sample: Sample) => number) => median(samples.map(field))
  const wall = of((sample) => sample.wallMillis)
  return [
    name.padEnd(28),
    `${Duration.format(Duration.millis(Math.round(wall)))}`.padStart(12),
    (clusterBytes / 1e3 / wall).toFixed(0).padStart(7),
    `${(of((sample) => sample.cpuMillis) / 1000).toFixed(2)} s`.padStart(9),
    megabytes(of((sample) => sample.storedBytes)).padStart(8),
    (samples[0]?.residentBytes === undefined ? "" : megabytes(of((sample) => sample.residentBytes ?? 0))).padStart(9)
  ].join("  ")
}

const compare = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const { primary, url } = yield* EmbeddedPostgres.make({ binaries })
  const source = yield* DatabaseConfig.parseUrl(url)
  const directory = yield* fs.makeTempDirectoryScoped({ prefix: "plinth-bench-" })
  const initialize = ["-q", "-i", "-s", String(scale), "-h", "127.0.0.1", "-p", String(primary.port), "-U", "postgres"]
  yield* Command.exitCode(Command.make(join(binaries, "pgbench"), ...initialize, "postgres"))
  const candidates = [
    plinth(source, "Plinth, plain", { compression: "none" }),
    pgBaseBackup(primary.port, "pg_basebackup, plain", ""),
    plinth(source, "Plinth, gzip 1", { compressionLevel: 1 }),
    pgBaseBackup(primary.port, "pg_basebackup, gzip 1", "--compress=client-gzip:1"),
    plinth(source, "Plinth, gzip 6", { compressionLevel: 6 }),
    pgBaseBackup(primary.port, "pg_basebackup, gzip 6", "--compress=client-gzip:6")
  ]
  const results = new Map<string, Array<Sample>>(candidates.map(({ name }) => [name, []]))
  let clusterBytes = 0
  for (let round = -1; round < rounds; round++) {
    for (const { name, run } of candidates) {
      const target = join(directory, "backup")
      const sample = yield* run(target)
      if (name === "pg_basebackup, plain") clusterBytes = sample.storedBytes
      yield* fs.remove(target, { recursive: true })
      // The first round warms up.
      if (round >= 0) results.get(name)?.push(sample)
    }
  }
  yield* Console.log(`\n${megabytes(clusterBytes)} MB of cluster, ${rounds} rounds, medians\n`)
  yield* Console.log(`${"".padEnd(28)}          wall     MB/s        CPU  stored MB  resident MB`)
  for (const [name, samples] of results) yield* Console.log(row(name, samples, clusterBytes))
}).pipe(Effect.scoped, Effect.provide(NodeContext.layer))

export const main: Effect.Effect<void, unknown> = existsSync(join(binaries, "pg_basebackup"))
  ? compare
  : Console.error(`There is no pg_basebackup in ${binaries}: install a server package, or set BENCH_PG_BIN`)
