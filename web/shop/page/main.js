/** Starts the page's parts. Every change of what they show leads to one drawing of the page in the next frame. */
import { onBasket } from './basket.js';
import { startBell } from './bell.js';
import { startDemo } from './demo.js';
import { startExpiry, startFreshness } from './banners.js';
import { announceOrders, followRestored } from './notices.js';
import { liveOrders } from './orders.js';
import { drawPage } from './page.js';
import { startSession } from './session.js';
import { route, startRouter } from './router.js';
import { invalidate, startDrawing } from './schedule.js';
import { basket } from './views/basket.js';
import { home } from './views/home.js';
import { lost } from './views/lost.js';
import { order } from './views/order.js';
import { orders } from './views/orders.js';
import { product } from './views/product.js';

route(/^\/$/, home);
route(/^\/products\/([\w.~-]+)$/, product);
route(/^\/basket$/, basket);
route(/^\/orders$/, orders);
route(/^\/orders\/([\w.~-]+)$/, order);
route(/./, lost);

liveOrders.subscribe(invalidate);
onBasket(invalidate);
startFreshness();
startExpiry();
startBell();
announceOrders();
followRestored();
startRouter();
startDrawing(drawPage);
void startSession();
startDemo();
