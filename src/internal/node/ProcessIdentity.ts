/**
 * Who this process is, and whether another one on the same host still lives.
 */
import * as Effect from "effect/Effect"
import { readFile } from "node:fs/promises"
import { hostname } from "node:os"

export interface ProcessIdentity {
  readonly host: string
  readonly pid: number
  /** Tells apart two processes that were given the same pid one after the other; empty where the system does not say. */
  readonly incarnation: string
}

/** The boot of the system and the start of the process in clock ticks since then, as Linux numbers them. */
const incarnationOf = (pid: number): Effect.Effect<string> =>
  Effect.gen(function* () {
    const boot = yield* Effect.tryPromise(() => readFile("/proc/sys/kernel/random/boot_id", "utf8"))
    const stat = yield* Effect.tryPromise(() => readFile(`/proc/${pid}/stat`, "utf8"))
    // The name of the program, in parentheses, may itself contain spaces and parentheses. Then field 3 follows.
    const startedAt = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]
    return startedAt === undefined ? "" : `${boot.trim()}/${startedAt}`
  }).pipe(Effect.orElseSucceed(() => ""))

export const current: Effect.Effect<ProcessIdentity> = Effect.suspend(() =>
  Effect.map(incarnationOf(process.pid), (incarnation) => ({ host: hostname(), pid: process.pid, incarnation }))
)

/** `gone` is certain; `elsewhere` means that only its own host can tell. */
export const look = (identity: ProcessIdentity): Effect.Effect<"alive" | "gone" | "elsewhere"> =>
  Effect.gen(function* () {
    if (identity.host !== hostname()) return "elsewhere" as const
    if (!exists(identity.pid)) return "gone" as const
    const incarnation = yield* incarnationOf(identity.pid)
    const reused = identity.incarnation !== "" && incarnation !== "" && incarnation !== identity.incarnation
    return reused ? ("gone" as const) : ("alive" as const)
  })

const exists = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // EPERM: it lives and belongs to someone else.
    return error instanceof Error && "code" in error && error.code === "EPERM"
  }
}
