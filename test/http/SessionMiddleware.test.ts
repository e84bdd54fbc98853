import * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { QueryRouter } from "effect-plinth"
import { SessionMiddleware } from "effect-plinth/http"

interface Asked {
  readonly token: Option.Option<string> | Effect.Effect<Option.Option<string>>
  readonly cookie?: string | undefined
  readonly app?: HttpApp.Default<Error> | undefined
  readonly options?: SessionMiddleware.Options | undefined
}

/** What the response says to a request, and with which tokens the router was asked to run it. */
const ask = ({ app = HttpServerResponse.text("done"), cookie, options, token }: Asked) =>
  Effect.gen(function* () {
    const tokens: Array<string> = []
    const router = QueryRouter.layerTest({
      token: Option.isOption(token) ? Effect.succeed(token) : token,
      withToken: (effect, text) =>
        Effect.zipRight(
          Effect.sync(() => tokens.push(text)),
          effect
        )
    })
    const handler = HttpApp.toWebHandlerLayer(SessionMiddleware.make(options)(app), router)
    const headers = cookie === undefined ? {} : { cookie }
    const response = yield* Effect.promise(() => handler.handler(new Request("http://localhost/", { headers })))
    yield* Effect.promise(handler.dispose)
    return { status: response.status, cookies: response.headers.getSetCookie(), tokens }
  })

describe("SessionMiddleware", () => {
  it.effect("gives a client without a cookie what its session has seen, out of reach of scripts", () =>
    Effect.gen(function* () {
      const { cookies, tokens } = yield* ask({ token: Option.some("seen") })
      assert.deepStrictEqual(tokens, [])
      assert.deepStrictEqual(cookies, ["plinth-session=seen; Max-Age=3600; Path=/; HttpOnly; Secure; SameSite=Lax"])
    })
  )

  it.effect("runs a request as a session that has seen what its cookie says", () =>
    Effect.gen(function* () {
      const { cookies, tokens } = yield* ask({ cookie: "plinth-session=before", token: Option.some("after") })
      assert.deepStrictEqual(tokens, ["before"])
      assert.match(cookies[0] ?? "", /^plinth-session=after;/)
    })
  )

  it.effect("sends no cookie when the session has seen nothing, or nothing new", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual((yield* ask({ token: Option.none() })).cookies, [])
      assert.deepStrictEqual((yield* ask({ cookie: "plinth-session=same", token: Option.some("same") })).cookies, [])
    })
  )

  it.effect("sends the cookie with the response of a failed request, which may have committed before", () =>
    Effect.gen(function* () {
      const { cookies, status } = yield* ask({ app: Effect.fail(new Error("no")), token: Option.some("seen") })
      assert.strictEqual(status, 500)
      assert.match(cookies[0] ?? "", /^plinth-session=seen;/)
    })
  )

  it.live("answers although what the token waits for never comes", () =>
    Effect.gen(function* () {
      const token = Effect.flatten(Effect.timeoutOption(Effect.never, "20 millis")).pipe(
        Effect.option,
        Effect.as(Option.some("late"))
      )
      const { cookies, status } = yield* ask({ token })
      assert.strictEqual(status, 200)
      assert.match(cookies[0] ?? "", /^plinth-session=late;/)
    })
  )

  it.effect("takes the name, the age and plain HTTP from its options", () =>
    Effect.gen(function* () {
      const options = { name: "s", secure: false, maxAge: "5 minutes" } as const
      const { cookies, tokens } = yield* ask({ cookie: "s=before", options, token: Option.some("after") })
      assert.deepStrictEqual(tokens, ["before"])
      assert.deepStrictEqual(cookies, ["s=after; Max-Age=300; Path=/; HttpOnly; SameSite=Lax"])
    })
  )
})
