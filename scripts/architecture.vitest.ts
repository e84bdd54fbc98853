/** The architecture test alone, without the database servers of the whole suite. */
import { defineConfig } from "vitest/config"

export default defineConfig({ test: { include: ["test/Architecture.test.ts"], cache: false } })
