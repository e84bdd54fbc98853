/**
 * The parts of node-postgres that Plinth uses and its published types leave out, each cast once, here.
 */
import * as Pg from "pg"
import type { FieldDef } from "pg"
import { prepareValue as untypedPrepareValue } from "pg/lib/utils.js"

/** The message writer of a wire connection: what `pg.Connection` really accepts. */
export interface Writer {
  readonly stream: {
    readonly write: (bytes: Buffer) => void
    readonly remoteAddress?: string | undefined
    readonly destroy: (error?: Error) => void
  }
  readonly parse: (message: {
    readonly name: string
    readonly text: string
    readonly types: ReadonlyArray<number>
  }) => void
  readonly bind: (message: {
    readonly portal: string
    readonly statement: string
    readonly values: ReadonlyArray<unknown>
  }) => void
  readonly describe: (message: { readonly type: "P" | "S"; readonly name: string }) => void
  readonly execute: (message: { readonly portal: string; readonly rows: number }) => void
  readonly close: (message: { readonly type: "P" | "S"; readonly name: string }) => void
  readonly query: (text: string) => void
  readonly sync: () => void
  readonly sendCopyFail: (message: string) => void
  readonly on: {
    (event: "connect" | "sslconnect" | "end", listener: () => void): void
    (event: "error", listener: (error: Error) => void): void
  }
  readonly connect: (port: number | string, host?: string) => void
  readonly requestSsl: () => void
  readonly cancel: (processId: number, secretKey: number) => void
}

/** ReadyForQuery's indicator: idle, in a transaction block, in a failed transaction block. */
export type TransactionStatus = "I" | "T" | "E"

/** The server's messages to a connection that is past its startup. */
export interface Messages {
  readonly parseComplete: () => void
  readonly bindComplete: () => void
  readonly closeComplete: () => void
  readonly noData: () => void
  readonly rowDescription: (message: { readonly fields: Array<FieldDef> }) => void
  readonly dataRow: (message: { readonly fields: ReadonlyArray<string | null> }) => void
  readonly commandComplete: (message: { readonly text: string }) => void
  readonly emptyQuery: () => void
  readonly portalSuspended: () => void
  readonly copyInResponse: () => void
  readonly copyData: () => void
  readonly errorMessage: (error: Error) => void
  readonly readyForQuery: (message: { readonly status: TransactionStatus }) => void
}

/**
 * Takes the messages of a connection away from the client that opened it, which keeps what is not listed: notices,
 * notifications, the end of the socket. Its own queue knows one statement at a time and no transaction.
 */
export const onMessages = (connection: Pg.Connection, messages: Messages): void => {
  for (const [name, listener] of Object.entries(messages)) connection.removeAllListeners(name).on(name, listener)
}

/** A JavaScript value as the text (or bytes) of a parameter. */
export const prepareValue = untypedPrepareValue

// `Connection` is typed as if every message took a second argument, and without connect, cancel and the events.
export const writerOf = (connection: Pg.Connection): Writer => connection as unknown as Writer

/**
 * A writer that collects messages instead of sending them, so that an exchange leaves in one `write`. Corking the socket
 * would send the same bytes by one `writev` of a dozen buffers, which costs several times as much.
 */
export interface Collector extends Writer {
  /** What was collected, which is forgotten. */
  readonly take: () => Buffer
}

export const makeCollector = (connection: Pg.Connection): Collector => {
  let chunks: Array<Buffer> = []
  // Every message method of `Connection` serialises and hands the bytes to `_send`.
  const collector: object = Object.create(connection, {
    _send: { value: (bytes: Buffer) => void chunks.push(bytes) },
    take: {
      value: () => {
        const bytes = Buffer.concat(chunks)
        chunks = []
        return bytes
      }
    }
  })
  // It is the connection, with two members of its own.
  return collector as Collector
}

/** A bare protocol connection, on which nothing was sent yet. */
export const makeWriter = (ssl: Pg.ConnectionConfig["ssl"]): Writer => writerOf(new Pg.Connection({ ssl }))

/** The backend's process id and the key that a CancelRequest must show. */
export const backendKey = (client: Pg.Client): { readonly processId: number; readonly secretKey: number } => {
  // Both are set by the BackendKeyData message and absent from the type.
  const { processID, secretKey } = client as unknown as { readonly processID: number; readonly secretKey: number }
  return { processId: processID, secretKey }
}

/** Names and values as they stand in a statement that takes no parameters. */
export const { escapeIdentifier, escapeLiteral } = Pg
