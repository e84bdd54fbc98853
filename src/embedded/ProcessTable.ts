/**
 * What the operating system says about processes: who lives, who started when, who is whose child; and signals for a
 * server together with all its backends. From /proc where there is one, else from `ps`.
 */
import { execFileSync } from "node:child_process"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import * as Option from "effect/Option"

interface Entry {
  readonly pid: number
  readonly parent: number
  readonly state: string
  readonly command: string
  /** Together with the pid it names one process for ever: pids are used again, start times are not. */
  readonly startedAt: string
}

const hasProc = existsSync("/proc/self/stat")

// `pid (command) state ppid ..`: the command may hold spaces and parentheses, so the fields count from the last one.
const parseStat = (stat: string): Option.Option<Entry> => {
  const open = stat.indexOf("(")
  const close = stat.lastIndexOf(")")
  const fields = stat.slice(close + 2).split(" ")
  const [state, parent] = fields
  const startedAt = fields[19]
  if (open < 0 || state === undefined || parent === undefined || startedAt === undefined) return Option.none()
  return Option.some({
    pid: Number(stat.slice(0, open)),
    parent: Number(parent),
    state,
    command: stat.slice(open + 1, close),
    startedAt
  })
}

const fromProc = (pid: string): Option.Option<Entry> => {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, "latin1"))
  } catch {
    return Option.none()
  }
}

const parsePs = (line: string): Option.Option<Entry> => {
  const match = /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(\S+\s+\S+\s+\d+\s+\S+\s+\d+)\s+(.*)$/.exec(line)
  if (match === null) return Option.none()
  const [, pid = "", parent = "", state = "", startedAt = "", path = ""] = match
  return Option.some({
    pid: Number(pid),
    parent: Number(parent),
    state,
    command: path.slice(path.lastIndexOf("/") + 1).trim(),
    startedAt: startedAt.replace(/\s+/g, "-")
  })
}

const ps = (selection: ReadonlyArray<string>): ReadonlyArray<Entry> => {
  try {
    const out = execFileSync("ps", [...selection, "-o", "pid=,ppid=,stat=,lstart=,comm="], {
      encoding: "utf8",
      env: { LC_ALL: "C", PATH: "/usr/bin:/bin" },
      stdio: ["ignore", "pipe", "ignore"]
    })
    return out.split("\n").flatMap((line) => Option.toArray(parsePs(line)))
  } catch {
    return []
  }
}

const all = (): ReadonlyArray<Entry> =>
  hasProc
    ? readdirSync("/proc").flatMap((name) => (/^\d+$/.test(name) ? Option.toArray(fromProc(name)) : []))
    : ps(["-A"])

// A zombie has ended: nothing of it but its exit code is left.
const find = (pid: number): Option.Option<Entry> =>
  Option.filter(
    hasProc ? fromProc(String(pid)) : Option.fromNullable(ps(["-p", String(pid)])[0]),
    (entry) => !/^[ZX]/.test(entry.state)
  )

/** Whether the process runs (or is stopped), zombies excluded. */
export const isAlive = (pid: number): boolean => Option.isSome(find(pid))

/** Whether the process runs and is a PostgreSQL server. */
export const isPostgres = (pid: number): boolean =>
  Option.exists(find(pid), (entry) => entry.command === "postgres" || entry.command === "postmaster")

/** What, with the pid, tells this process from a later one with the same pid. */
export const startedAt = (pid: number): Option.Option<string> => Option.map(find(pid), (entry) => entry.startedAt)

/** The running children of a process. */
const childrenOf = (pid: number): ReadonlyArray<number> =>
  all()
    .filter((entry) => entry.parent === pid && !/^[ZX]/.test(entry.state))
    .map((entry) => entry.pid)

/** Sends a signal; false when there is no such process any more. */
export const signal = (pid: number, name: NodeJS.Signals): boolean => {
  // kill(2) takes 0 and negative numbers for groups of processes, -1 for all of them.
  if (!Number.isInteger(pid) || pid <= 1) return false
  try {
    return process.kill(pid, name)
  } catch {
    return false
  }
}

/** Stops a server and every backend in their tracks: the postmaster first, so that it makes no new ones meanwhile. */
export const freezeTree = (pid: number): void => {
  signal(pid, "SIGSTOP")
  const stopped = new Set<number>()
  for (;;) {
    const fresh = childrenOf(pid).filter((child) => !stopped.has(child))
    if (fresh.length === 0) return
    for (const child of fresh) {
      signal(child, "SIGSTOP")
      stopped.add(child)
    }
  }
}

/** Lets a frozen server go on. */
export const thawTree = (pid: number): void => {
  for (const child of childrenOf(pid)) signal(child, "SIGCONT")
  signal(pid, "SIGCONT")
}

/** Ends a server and every backend at once, as a power cut would. */
export const killTree = (pid: number): void => {
  freezeTree(pid)
  for (const child of childrenOf(pid)) signal(child, "SIGKILL")
  signal(pid, "SIGKILL")
}
