/**
 * `DATABASE_URL=.. DATABASE_REPLICA_URLS=.. PORT=3000 npx tsx examples/orders-api/main.ts`, after `plinth migrate up`.
 */
import * as HttpServer from "@effect/platform/HttpServer"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Config from "effect/Config"
import * as Layer from "effect/Layer"
import { createServer } from "node:http"
import * as App from "./app.ts"

const server = NodeHttpServer.layerConfig(createServer, {
  host: Config.string("HOST").pipe(Config.withDefault("127.0.0.1")),
  port: Config.integer("PORT").pipe(Config.withDefault(3000))
})

NodeRuntime.runMain(Layer.launch(App.layer.pipe(HttpServer.withLogAddress, Layer.provide(server))))
