/**
 * The operating-system account that runs the servers: PostgreSQL refuses to run as root, so root hands its servers to
 * postgres, nobody or daemon.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { dirname, resolve } from "node:path"
import { EmbeddedPostgresError, fromPlatform } from "./EmbeddedPostgresError.ts"

export interface ServerAccount {
  readonly name: string
  readonly uid: number
  readonly gid: number
  /** The server runs as another account than this process, which then is root. */
  readonly switched: boolean
}

const candidates = ["postgres", "nobody", "daemon"]

const parsePasswd = (passwd: string, name: string): Option.Option<ServerAccount> => {
  const fields = passwd
    .split("\n")
    .map((line) => line.split(":"))
    .find((columns) => columns[0] === name)
  const uid = Number(fields?.[2])
  const gid = Number(fields?.[3])
  return Number.isInteger(uid) && Number.isInteger(gid) && uid !== 0
    ? Option.some({ name, uid, gid, switched: true })
    : Option.none()
}

/** This process's own account, or for root the first usable one of postgres, nobody and daemon. */
export const find: Effect.Effect<ServerAccount, EmbeddedPostgresError, FileSystem.FileSystem> = Effect.gen(
  function* () {
    const uid = process.getuid?.() ?? -1
    if (uid !== 0) return { name: `uid ${uid}`, uid, gid: process.getgid?.() ?? -1, switched: false }
    const fs = yield* FileSystem.FileSystem
    const passwd = yield* fs.readFileString("/etc/passwd").pipe(Effect.mapError(fromPlatform("read /etc/passwd")))
    return yield* Option.firstSomeOf(candidates.map((name) => parsePasswd(passwd, name))).pipe(
      Effect.mapError(
        () =>
          new EmbeddedPostgresError({
            reason: "NoServerAccount",
            operation: "choose a server account",
            description: `none of ${candidates.join(", ")} is in /etc/passwd`
          })
      )
    )
  }
)

const mayEnter = (account: ServerAccount, info: FileSystem.File.Info): boolean => {
  if (Option.contains(info.uid, account.uid)) return (info.mode & 0o100) !== 0
  if (Option.contains(info.gid, account.gid)) return (info.mode & 0o010) !== 0
  return (info.mode & 0o001) !== 0
}

/** Whether the account may walk down to a directory that exists: it needs `x` on each one on the way. */
export const canEnter = (
  account: ServerAccount,
  directory: string
): Effect.Effect<boolean, never, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    if (!account.switched) return true
    const fs = yield* FileSystem.FileSystem
    for (let path = resolve(directory); ; path = dirname(path)) {
      if (!mayEnter(account, yield* fs.stat(path))) return false
      if (path === dirname(path)) return true
    }
  }).pipe(Effect.orElseSucceed(() => false))

/** Gives one file or directory to the account; nothing to do when the account is our own. */
export const give = (
  account: ServerAccount,
  path: string
): Effect.Effect<void, EmbeddedPostgresError, FileSystem.FileSystem> =>
  account.switched
    ? FileSystem.FileSystem.pipe(
        Effect.flatMap((fs) => fs.chown(path, account.uid, account.gid)),
        Effect.mapError(fromPlatform(`give ${path} to ${account.name}`))
      )
    : Effect.void

/** What `node:child_process` needs to run a program as the account. */
export const identity = (account: ServerAccount): { readonly uid?: number; readonly gid?: number } =>
  account.switched ? { uid: account.uid, gid: account.gid } : {}

/** How a program of the account names a directory. */
export interface Reach {
  readonly name: string
  /** What it has to inherit as its descriptor 3. */
  readonly inherited: ReadonlyArray<string>
}

/**
 * By its path where the account can walk there. Root's checkout is often in a home that nobody else may enter; there the
 * program inherits the open directory, and names it through /proc.
 */
export const reach = (
  account: ServerAccount,
  directory: string
): Effect.Effect<Reach, EmbeddedPostgresError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    if (yield* canEnter(account, dirname(directory))) return { name: directory, inherited: [] }
    if (process.platform === "linux") return { name: "/proc/self/fd/3", inherited: [directory] }
    return yield* new EmbeddedPostgresError({
      reason: "DirectoryUnreachable",
      operation: "open a data directory",
      description: `the account ${account.name}, which runs the server, cannot enter ${dirname(directory)}`,
      path: directory
    })
  })
