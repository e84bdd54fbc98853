import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { readdirSync } from "node:fs"
import type { Socket } from "node:net"
import { createServer } from "node:net"
import { service, temporary } from "../support/backups.ts"

const message = (type: string, body: Buffer): Buffer => {
  const header = Buffer.alloc(5)
  header.write(type)
  header.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([header, body])
}

const int16 = (value: number) => Buffer.from([value >> 8, value & 0xff])
const int32 = (value: number) => Buffer.from([0, 0, value >> 8, value & 0xff])

const error = (code: string, text: string) => message("E", Buffer.from(`SFATAL\0VFATAL\0C${code}\0M${text}\0\0`))

const ready = message("Z", Buffer.from("I"))

const welcome = Buffer.concat([message("R", int32(0)), ready])

/** One row of text columns. */
const row = (values: ReadonlyArray<string>): Buffer =>
  Buffer.concat([
    message(
      "T",
      Buffer.concat([int16(values.length), ...values.map(() => Buffer.concat([Buffer.from("c\0"), Buffer.alloc(18)]))])
    ),
    message(
      "D",
      Buffer.concat([int16(values.length), ...values.flatMap((value) => [int32(value.length), Buffer.from(value)])])
    ),
    message("C", Buffer.from("SELECT 1\0")),
    ready
  ])

/** A server that answers the startup with the first script and each query with the next. */
const scripted = (...answers: ReadonlyArray<Buffer>) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.async<{ readonly port: number; readonly close: () => void }>((resume) => {
        const sockets = new Set<Socket>()
        const server = createServer((socket) => {
          sockets.add(socket)
          let next = 0
          socket.on("error", () => {})
          socket.on("data", (data) => {
            // Terminate, the client's goodbye.
            if (data[0] === 0x58) return void socket.end()
            const answer = answers[next++]
            if (answer !== undefined) socket.write(answer)
          })
        })
        server.listen(0, "127.0.0.1", () => {
          const address = server.address()
          const port = typeof address === "object" && address !== null ? address.port : 0
          const close = () => {
            for (const socket of sockets) socket.destroy()
            server.close()
          }
          resume(Effect.succeed({ port, close }))
        })
      }),
      ({ close }) => Effect.sync(close)
    ),
    ({ port }) => Redacted.make(`postgres://copier:secret@127.0.0.1:${port}/app?sslmode=disable`)
  )

const failure = (...answers: ReadonlyArray<Buffer>) =>
  Effect.gen(function* () {
    const url = yield* scripted(...answers)
    const directory = yield* temporary
    const backup = yield* service(directory, { url, stallTimeout: "500 millis" })
    const failed = yield* Effect.flip(backup.create())
    assert.deepStrictEqual(readdirSync(directory), [])
    assert.notInclude(failed.message, "secret")
    return failed
  })

describe("a server that cannot be backed up physically", () => {
  const cases: ReadonlyArray<readonly [string, ReadonlyArray<Buffer>, string, RegExp]> = [
    [
      "PostgreSQL 14",
      [welcome, row(["140018", "14.18", "f", "16777216"])],
      "UnsupportedServer",
      /PostgreSQL 14\.18.*needs 15 or newer.*pg_dump/
    ],
    [
      "a role that may not replicate",
      [error("42501", "must be superuser or replication role to start walsender")],
      "ReplicationRefused",
      /ALTER ROLE "copier" REPLICATION.*pg_dump/
    ],
    [
      "a pooler",
      [error("08P01", "unsupported startup parameter: replication")],
      "ReplicationRefused",
      /server itself and not to a pooler/
    ],
    [
      "pg_hba.conf",
      [error("28000", 'no pg_hba.conf entry for replication connection from host "10.0.0.1", user "copier"')],
      "ReplicationRefused",
      /Allow database app and user copier from this host in pg_hba\.conf/
    ],
    [
      "a database that is not there",
      [error("3D000", 'database "app" does not exist')],
      "Unreachable",
      /name of the database in the URL/
    ],
    ["a wrong password", [error("28P01", "password authentication failed")], "Unreachable", /user and password/],
    ["no answer to the first question", [welcome], "Stalled", /sent nothing for 500ms/]
  ]
  for (const [what, answers, reason, text] of cases) {
    it.scopedLive(`is refused with what to do about it: ${what}`, () =>
      Effect.gen(function* () {
        const failed = yield* failure(...answers)
        assert.strictEqual(failed.reason, reason)
        assert.match(failed.message, text)
      }).pipe(Effect.provide(NodeContext.layer))
    )
  }
})
