/**
 * One connection that speaks the replication protocol and SQL.
 *
 * `replication=database` rather than `true`: the same session can then hold the advisory lock of a backup, so that the
 * lock ends exactly when the server stops sending, and pg_hba.conf needs no line of its own.
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Mailbox from "effect/Mailbox"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Pg from "pg"
import type { ConnectionTarget } from "../../DatabaseConfig.ts"
import { nodeName } from "../../DatabaseConfig.ts"
import type { DatabaseError } from "../../DatabaseError.ts"
import { fromUnknown } from "../../DatabaseError.ts"
import { BaseBackupReceiver } from "./BaseBackupReceiver.ts"
import type { BaseBackupEvent } from "./BaseBackupReceiver.ts"
import { cancelRequest } from "./cancelRequest.ts"
import { connectClient } from "./connectClient.ts"
import { clientConfig, withinConnectTimeout } from "./openTarget.ts"

export type { BaseBackupEvent, Tablespace, WalPosition } from "./BaseBackupReceiver.ts"

/** The server sent nothing for too long, and was not known to be gone. */
export class ReplicationStalled extends Data.TaggedError("ReplicationStalled")<{ readonly after: Duration.Duration }> {
  override get message(): string {
    return `the server sent nothing for ${Duration.format(this.after)}`
  }
}

type Failure = DatabaseError | ReplicationStalled

export type Row = ReadonlyArray<string | null>

export interface ReplicationSession {
  /** The rows of a replication command or of a statement, as text. */
  readonly query: (text: string) => Effect.Effect<ReadonlyArray<Row>, Failure>
  /** Runs a BASE_BACKUP command. The socket is read no faster than the stream. */
  readonly baseBackup: (command: string) => Stream.Stream<BaseBackupEvent, Failure>
  /** The warnings that the server has sent so far. */
  readonly warnings: Effect.Effect<ReadonlyArray<string>>
}

/** Blocks that wait in memory before the socket is paused, and until it is read again. */
const pauseAtBlocks = 8
const resumeAtBlocks = 2

/** How long the server may take to hear that it should stop, or to say goodbye. */
const farewellTimeout = "2 seconds"

/** Opens a session that ends with the scope; whatever the server is still sending then is cancelled there. */
export const open = (
  target: ConnectionTarget,
  options: { readonly stallTimeout: Duration.Duration }
): Effect.Effect<ReplicationSession, DatabaseError, Scope.Scope> =>
  Effect.gen(function* () {
    const node = nodeName(target)
    const config = { ...(yield* clientConfig(target, { statementLimit: 0 })), replication: "database" }
    const warnings: Array<string> = []
    const running = { command: false }
    const client = yield* Effect.uninterruptibleMask((restore) =>
      Effect.tap(restore(withinConnectTimeout(target, connectClient(config, node))), (client) =>
        Effect.addFinalizer(() => close(client, config, running))
      )
    )
    client.on("notice", (notice) => {
      if (notice.severity === "WARNING" && notice.message !== undefined) warnings.push(notice.message)
    })

    const failure = (operation: string, cause: unknown): DatabaseError => fromUnknown(cause, { operation, node })

    const stalled = () => new ReplicationStalled({ after: options.stallTimeout })

    const query = (text: string): Effect.Effect<ReadonlyArray<Row>, Failure> =>
      Effect.async<ReadonlyArray<Row>, DatabaseError>((resume) => {
        client.query<Array<string | null>>({ text, rowMode: "array", types: asText }, (error, result) => {
          // node-postgres passes null, which its type leaves out.
          const failed: Error | null | undefined = error
          resume(failed ? Effect.fail(failure("query", failed)) : Effect.succeed(result.rows))
        })
      }).pipe(Effect.timeoutFail({ duration: options.stallTimeout, onTimeout: stalled }))

    const receive = (command: string) =>
      Effect.gen(function* () {
        const mailbox = yield* Mailbox.make<BaseBackupEvent, DatabaseError>()
        const flow = flowOf(client)
        let sending = false
        let paused = false
        const waiting = () => Option.getOrElse(mailbox.unsafeSize(), () => 0)
        const end = (exit: Exit.Exit<void, DatabaseError>) => {
          running.command = false
          mailbox.unsafeDone(exit)
        }
        const receiver = new BaseBackupReceiver(command, {
          offer: (event) => {
            mailbox.unsafeOffer(event)
            if (!paused && waiting() >= pauseAtBlocks) {
              paused = true
              flow.pause()
            }
          },
          succeed: () => end(Exit.void),
          fail: (error) => end(Exit.fail(failure("base backup", error)))
        })
        yield* Effect.sync(() => {
          running.command = true
          client.query(receiver)
        })
        const take = mailbox.take.pipe(
          Effect.mapError((error): Option.Option<Failure> =>
            error._tag === "NoSuchElementException" ? Option.none() : Option.some(error)
          )
        )
        // Before it starts to send, the server waits for its checkpoint, which takes as long as it takes.
        const patiently = Effect.suspend(() =>
          sending
            ? Effect.timeoutFail(take, {
                duration: options.stallTimeout,
                onTimeout: () => Option.some(stalled())
              })
            : take
        )
        return Stream.repeatEffectOption(
          Effect.tap(patiently, () => {
            sending = true
            if (paused && waiting() <= resumeAtBlocks) {
              paused = false
              flow.resume()
            }
          })
        )
      })

    return {
      query,
      baseBackup: (command) => Stream.unwrap(receive(command)),
      warnings: Effect.sync(() => [...warnings])
    }
  })

const asText: Pg.CustomTypesConfig = { getTypeParser: () => (value: string) => value }

/**
 * A server that is in the middle of a command is told to stop: it would notice the lost socket only when it next sends
 * something, which during a checkpoint can be minutes away.
 */
const close = (
  client: Pg.Client,
  config: Pg.ClientConfig,
  running: { readonly command: boolean }
): Effect.Effect<void> => {
  const goodbye = Effect.async<void>((resume) => {
    client.end(() => resume(Effect.void))
  })
  return Effect.suspend(() => (running.command ? cancelRequest(client, config) : goodbye)).pipe(
    Effect.interruptible,
    Effect.timeoutOption(farewellTimeout),
    Effect.zipRight(Effect.sync(() => flowOf(client).destroy()))
  )
}

interface Flow {
  readonly pause: () => void
  readonly resume: () => void
  readonly destroy: () => void
}

// The socket (or TLS socket) of a connection; its type calls it a Duplex only in some versions of @types/pg.
const flowOf = (client: Pg.Client): Flow => client.connection.stream as unknown as Flow
