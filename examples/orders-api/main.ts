/**
 * `DATABASE_URL=.. DATABASE_REPLICA_URLS=.. PORT=3000 npx tsx examples/orders-api/main.ts`, after `plinth migrate up`.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Config from "effect/Config"
import * as Layer from "effect/Layer"
import { createServer } from "node:http"
import * as App from "./app.ts"

const server = NodeHttpServer.layerConfig(createServer, { port: Config.integer("PORT").pipe(Config.withDefault(3000)) })

NodeRuntime.runMain(Layer.launch(Layer.provide(App.layer, server)))
