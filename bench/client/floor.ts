/**
 * What nobody who runs on Node and TCP can go below: bytes of prepared statements, written to sockets as they are, and
 * answers of which only the last byte is looked at.
 */
import { connect, type Socket } from "node:net"
import type { Work } from "./clients.ts"

const message = (type: string, body: Buffer): Buffer => {
  const head = Buffer.alloc(5)
  head.write(type)
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}

const text = (value: string): Buffer => Buffer.from(`${value}\0`)
const int16 = (value: number): Buffer => Buffer.from([value >> 8, value & 255])
const int32 = (value: number): Buffer => Buffer.from([value >> 24, value >> 16, value >> 8, value])

const parse = (name: string, sql: string) => message("P", Buffer.concat([text(name), text(sql), int16(0)]))
const sync = message("S", Buffer.alloc(0))

/** Bind and Execute of a prepared statement with one value or none. */
const run = (name: string, value?: string): Buffer => {
  const values =
    value === undefined ? int16(0) : Buffer.concat([int16(1), int32(Buffer.byteLength(value)), Buffer.from(value)])
  return Buffer.concat([
    message("B", Buffer.concat([text(""), text(name), int16(0), values, int16(0)])),
    message("E", Buffer.concat([text(""), int32(0)]))
  ])
}

/** One write, and the ReadyForQuery behind its answer. */
type Exchange = (bytes: Buffer) => Promise<void>

const open = async (port: number, user: string, database: string): Promise<{ socket: Socket; exchange: Exchange }> => {
  const socket = connect({ host: "127.0.0.1", port, noDelay: true })
  let ready: (() => void) | undefined
  socket.on("data", (chunk: Buffer) => {
    if (chunk[chunk.length - 6] === 90) ready?.()
  })
  const exchange: Exchange = (bytes) =>
    new Promise((resolve) => {
      ready = resolve
      socket.write(bytes)
    })
  const body = Buffer.concat([int32(196_608), text("user"), text(user), text("database"), text(database), text("")])
  await exchange(Buffer.concat([int32(body.length + 4), body]))
  await exchange(
    Buffer.concat([
      parse("begin", "BEGIN"),
      parse("commit", "COMMIT"),
      parse("select", "SELECT id, filler, balance FROM bench WHERE id = $1"),
      parse("update", "UPDATE bench SET balance = balance + 1 WHERE id = $1"),
      parse("slow", "SELECT pg_sleep(0.02)"),
      sync
    ])
  )
  return { socket, exchange }
}

/** The same work on bare sockets to a server that trusts. */
export const floor = async (
  url: URL,
  max: number
): Promise<{ readonly work: Work<Promise<unknown>>; readonly end: () => void }> => {
  const all = await Promise.all(
    Array.from({ length: max }, () => open(Number(url.port), url.username, url.pathname.slice(1)))
  )
  const free = all.map(({ exchange }) => exchange)
  const waiting: Array<(exchange: Exchange) => void> = []
  const use = async (f: (exchange: Exchange) => Promise<void>) => {
    const exchange = free.pop() ?? (await new Promise<Exchange>((resolve) => waiting.push(resolve)))
    await f(exchange)
    const next = waiting.shift()
    if (next === undefined) free.push(exchange)
    else next(exchange)
  }
  return {
    work: {
      select: (id) => use((exchange) => exchange(Buffer.concat([run("select", String(id)), sync]))),
      transaction: (id) =>
        use(async (exchange) => {
          await exchange(Buffer.concat([run("begin"), run("update", String(id)), sync]))
          await exchange(Buffer.concat([run("commit"), sync]))
        }),
      slow: () => use((exchange) => exchange(Buffer.concat([run("slow"), sync])))
    },
    end: () => {
      for (const { socket } of all) socket.destroy()
    }
  }
}
