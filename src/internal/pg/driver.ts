/**
 * The parts of node-postgres that Plinth uses and its published types leave out, each cast once, here.
 */
import * as Pg from "pg"
import type { FieldDef, QueryResult } from "pg"
import { prepareValue as untypedPrepareValue } from "pg/lib/utils.js"

/** The message writer of a wire connection: what `pg.Connection` really accepts. */
export interface Writer {
  readonly stream: {
    readonly write: (bytes: Buffer) => void
    readonly remoteAddress?: string | undefined
    readonly destroy: (error?: Error) => void
    readonly ref?: () => void
    readonly unref?: () => void
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
    readonly valueMapper: (value: unknown) => unknown
  }) => void
  readonly describe: (message: { readonly type: "P" | "S"; readonly name: string }) => void
  readonly execute: (message: { readonly portal: string; readonly rows: number }) => void
  readonly close: (message: { readonly type: "P" | "S"; readonly name: string }) => void
  readonly query: (text: string) => void
  readonly sync: () => void
  readonly sendCopyFail: (message: string) => void
  readonly on: {
    (event: "readyForQuery", listener: (message: { readonly status: TransactionStatus }) => void): void
    (event: "connect" | "sslconnect" | "end", listener: () => void): void
    (event: "error", listener: (error: Error) => void): void
  }
  readonly connect: (port: number | string, host?: string) => void
  readonly requestSsl: () => void
  readonly cancel: (processId: number, secretKey: number) => void
}

/** ReadyForQuery's indicator: idle, in a transaction block, in a failed transaction block. */
export type TransactionStatus = "I" | "T" | "E"

/** What node-postgres calls on the query that a client is executing. */
export interface Submittable {
  readonly submit: () => null
  readonly handleRowDescription: (message: { readonly fields: Array<FieldDef> }) => void
  readonly handleDataRow: (message: { readonly fields: Array<string | null> }) => void
  readonly handlePortalSuspended: () => void
  readonly handleCommandComplete: (message: { readonly text: string }) => void
  readonly handleEmptyQuery: () => void
  readonly handleCopyInResponse: () => void
  readonly handleCopyData: () => void
  readonly handleReadyForQuery: () => void
  readonly handleError: (error: Error) => void
}

/** A result under construction. */
export interface ResultBuilder extends QueryResult {
  readonly addFields: (fields: Array<FieldDef>) => void
  readonly parseRow: (fields: Array<string | null>) => Pg.QueryResultRow
  readonly addRow: (row: unknown) => void
  readonly addCommandComplete: (message: { readonly text: string }) => void
}

// `Result`'s methods and the per-client type overrides are missing from its type.
const UntypedResult = Pg.Result as unknown as new (
  rowMode: "array" | undefined,
  types: Pg.CustomTypesConfig | undefined
) => ResultBuilder

export const makeResult = (rowMode: "array" | undefined, types: Pg.CustomTypesConfig | undefined): ResultBuilder =>
  new UntypedResult(rowMode, types)

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
