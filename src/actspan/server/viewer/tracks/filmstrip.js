// The filmstrip: pictures of the visible range, side by side.

/** @import { Box, Track } from "../types.js" */
/** @import { Filmstrip, Picture } from "../filmstrip.js" */
/** @import { Painter } from "../painter.js" */

/** @implements {Track} */
export class FilmstripTrack {
  kind = "filmstrip";

  /**
   * @param {string} name
   * @param {Filmstrip} film
   */
  constructor(name, film) {
    this.name = name;
    this.film = film;
    this.height = this.most = 44;
  }

  /**
   * @param {Painter} painter
   * @param {Box} box
   */
  paint(painter, { y, height }) {
    const { c, colours, view, width } = painter, { film } = this;
    c.fillStyle = colours.raised;
    c.fillRect(painter.left, y, width, height);
    film.restart();
    const level = film.level(view.length / width, height * film.ratio);
    const coarsest = film.level(view.seconds / width, height * film.ratio);
    const size = 2 ** level;
    for (let step = Math.floor(view.from / size); step * size < view.to; step += 1) {
      const left = painter.x(step * size), right = painter.x(Math.min((step + 1) * size, view.seconds));
      const picture = film.picture(level, step, Math.max(level, coarsest));
      if (picture && right > left) paste(painter, picture, { left, y, width: right - left, height });
    }
  }
}

/**
 * Draw the middle of a picture, as much as the place shows.
 * @param {Painter} painter
 * @param {Picture} picture
 * @param {{ left: number, y: number, width: number, height: number }} place
 */
function paste({ c }, picture, { left, y, width, height }) {
  const shown = Math.min((width / height) * picture.height, picture.width);
  const x = picture.x + (picture.width - shown) / 2;
  c.drawImage(picture.image, x, picture.y, shown, picture.height, left, y, width - 1, height);
}
