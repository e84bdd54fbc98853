/**
 * The watchdog's program, as text: it runs by `node -e`, so that it needs no file beside a bundled CLI and no loader for
 * TypeScript. It depends on nothing but Node.
 */
export const script = String.raw`
const fs = require("node:fs")
const path = require("node:path")
const { execFileSync } = require("node:child_process")

let duties = { pids: [], servers: [], remove: [] }
let buffered = ""
for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(name, () => {})
process.stdin.setEncoding("utf8")
process.stdin.on("data", (text) => {
  const lines = (buffered + text).split("\n")
  buffered = lines.pop()
  if (lines.length > 0) duties = JSON.parse(lines[lines.length - 1])
})
process.stdin.on("error", () => {})
process.stdin.on("close", () => cleanUp().finally(() => process.exit(0)))

const attempt = (f, otherwise) => { try { return f() } catch { return otherwise } }
const sleep = (millis) => new Promise((resolve) => setTimeout(resolve, millis))

// [pid, parent, command, start]
function stat(pid) {
  const text = fs.readFileSync("/proc/" + pid + "/stat", "latin1")
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ")
  if (/[ZX]/.test(fields[0])) throw new Error("ended")
  return [Number(pid), Number(fields[1]), text.slice(text.indexOf("(") + 1, text.lastIndexOf(")")), fields[19]]
}
function table() {
  if (fs.existsSync("/proc/self/stat"))
    return fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map((pid) => attempt(() => stat(pid))).filter(Boolean)
  const out = attempt(() => execFileSync("ps", ["-A", "-o", "pid=,ppid=,stat=,lstart=,comm="], { encoding: "utf8" }), "")
  return out.split("\n").map((line) => /^\s*(\d+)\s+(\d+)\s+([^Z]\S*)\s+(\S+\s+\S+\s+\d+\s+\S+\s+\d+)\s+(.*)$/.exec(line))
    .filter(Boolean).map((m) => [Number(m[1]), Number(m[2]), path.basename(m[5].trim()), m[4].replace(/\s+/g, "-")])
}
const signal = (pid, name) => pid > 1 && attempt(() => process.kill(pid, name))

// With all below them: initdb runs its server by a shell.
function descendants(pids) {
  const all = table()
  const known = new Set(pids)
  for (let size = -1; size !== known.size; ) {
    size = known.size
    for (const [pid, parent] of all) if (known.has(parent)) known.add(pid)
  }
  return all.filter(([pid]) => known.has(pid))
}

async function stop(pids) {
  const family = () => descendants(pids)
  const members = family()
  const alive = () => table().filter(([pid]) => members.some((member) => member[0] === pid))
  for (const [pid] of members) signal(pid, "SIGCONT")
  // A server stops in good order; of initdb only itself is killed: its server ends by itself when its input does.
  for (const [pid, , command] of members)
    if (pids.includes(pid)) signal(pid, command.startsWith("post") ? "SIGINT" : "SIGKILL")
  for (let waited = 0; waited < 1000 && alive().length > 0; waited += 10) await sleep(10)
  const left = [...alive(), ...family()]
  for (const [pid] of left) signal(pid, "SIGSTOP")
  for (const [pid] of left) signal(pid, "SIGKILL")
  for (let waited = 0; waited < 500 && alive().length > 0; waited += 10) await sleep(10)
}

// Our own entry goes; the servers stay while another user's process lives. A lock that the dead process held is ours now.
async function leave({ entry, lock }) {
  const mine = entry + ".lock"
  const dead = path.basename(entry)
  const self = [process.pid, table().find(([pid]) => pid === process.pid)?.[3], "watchdog"].join("_")
  const holder = () => attempt(() => fs.readFileSync(lock, "utf8"))
  attempt(() => fs.writeFileSync(mine, self))
  let locked = false
  for (let waited = 0; waited < 500 && !locked; waited += 20) {
    locked = holder() === dead || attempt(() => (fs.linkSync(mine, lock), true), false)
    if (!locked) await sleep(20)
  }
  attempt(() => fs.unlinkSync(mine))
  attempt(() => fs.unlinkSync(entry))
  const processes = table()
  const others = attempt(() => fs.readdirSync(path.dirname(entry)), []).some((name) => {
    const [pid, start] = name.split("_")
    return processes.some((process) => String(process[0]) === pid && process[3] === start)
  })
  return { others, release: () => [dead, self].includes(holder()) && attempt(() => fs.unlinkSync(lock)) }
}

async function cleanUp() {
  const { others, release } = duties.membership ? await leave(duties.membership) : { others: false, release() {} }
  const processes = table()
  const read = (directory) => attempt(() => Number(fs.readFileSync(path.join(directory, "postmaster.pid"), "utf8").split("\n")[0]), 0)
  // Another watchdog may look after a server inside of what we remove: it has to be gone first, whoever stops it.
  const inside = duties.remove.flatMap((directory) =>
    attempt(() => fs.readdirSync(directory), []).map((name) => path.join(directory, name)))
  const directories = [...new Set([...(others ? [] : duties.servers), ...inside])]
  const servers = directories.map(read)
  const names = ["postgres", "postmaster", "initdb", "cp"]
  const pids = [...new Set([...(others ? [] : duties.pids), ...servers])]
    .filter((pid) => processes.some((process) => process[0] === pid && names.includes(process[2])))
  const segments = directories.map((directory) =>
    attempt(() => fs.readFileSync(path.join(directory, "postmaster.pid"), "utf8").split("\n")[6].trim().split(/\s+/)[1]))
  if (pids.length > 0) await stop(pids)
  directories.forEach((directory, index) => {
    // A killed server leaves its small System V segment; one that stopped by itself has removed it, and its file too.
    if (segments[index] && fs.existsSync(path.join(directory, "postmaster.pid")))
      attempt(() => execFileSync("ipcrm", ["-m", segments[index]], { stdio: "ignore" }))
  })
  for (const directory of duties.remove)
    attempt(() => fs.rmSync(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 }))
  release()
}
`
