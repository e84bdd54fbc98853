/**
 * Read-your-writes for a browser: what a session has seen travels in a cookie, so that the next request sees it too,
 * whichever process and replica serves it.
 *
 * @since 0.1.0
 */
import type * as Cookies from "@effect/platform/Cookies"
import * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { QueryRouter, session } from "../QueryRouter.ts"

/**
 * The cookie.
 *
 * @since 0.1.0
 * @category options
 */
export interface Options {
  /** @default "plinth-session" */
  readonly name?: string | undefined
  /** Send it over HTTPS only. @default true */
  readonly secure?: boolean | undefined
  /**
   * How long a client is bound to what it has seen. A replica further behind than this may then show it the past.
   *
   * @default "1 hour"
   */
  readonly maxAge?: Duration.DurationInput | undefined
}

/**
 * Runs every request as a session of its own, which has seen what the request's cookie says, and gives the response a
 * cookie that says what it has seen at its end. Failed requests too: what they had committed has been committed.
 *
 * The token waits for the monitor's next sample, normally a few milliseconds; a request that asked the database nothing
 * waits for nothing and keeps its cookie. A token is no secret and grants nothing: a forged one only sends its owner's
 * reads to the primary. Of two requests that one client runs at the same time, the cookie of the later response stays.
 *
 * @since 0.1.0
 * @category middleware
 */
export const make = (
  options: Options = {}
): (<E, R>(app: HttpApp.Default<E, R>) => HttpApp.Default<E, R | QueryRouter>) => {
  const name = options.name ?? "plinth-session"
  const attributes: Cookies.Cookie["options"] = {
    httpOnly: true,
    maxAge: options.maxAge ?? "1 hour",
    path: "/",
    sameSite: "lax",
    secure: options.secure ?? true
  }
  return (app) =>
    Effect.gen(function* () {
      const router = yield* QueryRouter
      const request = yield* HttpServerRequest.HttpServerRequest
      const received = request.cookies[name]
      const answered = Effect.zipRight(sendToken(router, received, name, attributes), app)
      return yield* received === undefined ? session(answered) : router.withToken(answered, received)
    })
}

/**
 * Handlers run after a failure has become a response, outside of the session, whose context they bring along. They run
 * uninterruptibly, where the token's deadline could not end its wait: hence the fiber.
 */
const sendToken = (
  router: QueryRouter["Type"],
  received: string | undefined,
  name: string,
  attributes: Cookies.Cookie["options"]
): Effect.Effect<void> =>
  Effect.flatMap(Effect.context<never>(), (context) =>
    HttpApp.appendPreResponseHandler((_request, response) =>
      Effect.map(awaitToken(router, context), (token) =>
        Option.isSome(token) && token.value !== received
          ? HttpServerResponse.unsafeSetCookie(response, name, token.value, attributes)
          : response
      )
    )
  )

const awaitToken = (
  router: QueryRouter["Type"],
  context: Context.Context<never>
): Effect.Effect<Option.Option<string>> =>
  router.token.pipe(Effect.provide(context), Effect.interruptible, Effect.forkDaemon, Effect.flatMap(Fiber.join))
