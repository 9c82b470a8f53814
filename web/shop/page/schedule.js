/**
 * When the page is drawn: once a frame at most, however many changes there were. In a hidden tab, where there are no
 * frames, a timer draws it.
 */

/** Milliseconds after which a change is drawn without a frame. */
const WITHOUT_FRAME = 100;

/** @param {() => void} draw */
export function createSchedule(draw) {
  /** @type {(() => void) | null} */
  let cancel = null;

  function drawNow() {
    cancel?.();
    cancel = null;
    draw();
  }

  return {
    /** Something has changed. */
    invalidate() {
      if (cancel) return;
      const frame = requestAnimationFrame(drawNow);
      const timer = setTimeout(drawNow, WITHOUT_FRAME);
      cancel = () => {
        cancelAnimationFrame(frame);
        clearTimeout(timer);
      };
    },
    /** Draw without waiting for the frame, for what has to measure or focus the new page. */
    drawNow,
  };
}

/** @type {() => void} */
let drawPage = () => {};
const page = createSchedule(() => drawPage());

/** A part of the page has changed. */
export const invalidate = page.invalidate;
export const drawNow = page.drawNow;

/** @param {() => void} draw  Draws the whole page. */
export function startDrawing(draw) {
  drawPage = draw;
  drawNow();
}
