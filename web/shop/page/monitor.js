/** Measures what people see, where the gateway asks its page for it (`BFF_TELEMETRY__BROWSER`), and begins their traces. */
import { createMonitor, watchVitals } from '/client/rum.js';

export const monitor = createMonitor({ vitals: watchVitals });
