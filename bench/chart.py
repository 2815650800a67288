"""Curves as a drawing (SVG) that needs nothing else: panels of a few series each, with the range of every point."""
import html
import math

PANEL, GAP, LEFT, TOP, BOTTOM = (300, 190), 60, 62, 46, 44
COLOURS = ["#1f5fa8", "#b8461b", "#3c7d3c", "#7a4fa3"]
MARKS = ["circle", "square", "diamond", "triangle"]


def short(x):
    """1500 -> 1.5k"""
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if x >= unit:
            return "%.3g%s" % (x / unit, name)
    return "%.3g" % x


def ticks(most):
    """Three to six round numbers from 0 up to most or a little above."""
    step = 10 ** math.floor(math.log10(most))
    for part in (0.2, 0.5, 1, 2):
        if most / (step * part) <= 5:
            step *= part
            break
    return [i * step for i in range(math.ceil(most / step - 1e-9) + 1)]


def mark(kind, x, y, colour):
    if kind == "circle":
        return '<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>' % (x, y, colour)
    points = {"square": [(-3, -3), (3, -3), (3, 3), (-3, 3)], "diamond": [(0, -4), (4, 0), (0, 4), (-4, 0)],
              "triangle": [(0, -4), (4, 3), (-4, 3)]}[kind]
    return '<polygon points="%s" fill="%s"/>' % (" ".join("%.1f,%.1f" % (x + a, y + b) for a, b in points), colour)


def text(x, y, words, anchor="middle", size=11, more=""):
    return '<text x="%.1f" y="%.1f" text-anchor="%s" font-size="%d"%s>%s</text>' % (x, y, anchor, size, more, html.escape(words))


class Series:
    """points: of (x, middle, least, most); limit: of (x, y), drawn with dashes, or none"""

    def __init__(self, name, points, limit=()):
        self.name, self.points, self.limit = name, points, limit


def panel(title, unit, series, x0, y0):
    """The axis of x goes by powers of two, that of y from 0."""
    width, height = PANEL
    xs = sorted({p[0] for s in series for p in s.points})
    most = max(p[3] for s in series for p in s.points)
    marked = ticks(max([most] + [min(y, 3 * most) for s in series for _, y in s.limit]))  # a limit far above is cut off
    low, high = math.log2(xs[0]), max(math.log2(xs[-1]), math.log2(xs[0]) + 1)

    def at(x, y):
        return x0 + (math.log2(x) - low) / (high - low) * width, y0 + height - y / marked[-1] * height
    frame = "frame-%d-%d" % (x0, y0)
    out = [text(x0 + width / 2, y0 - 26, title, size=13, more=' font-weight="bold"'),
           text(x0 - 6, y0 - 8, unit, "end", 10),
           '<clipPath id="%s"><rect x="%d" y="%d" width="%d" height="%d"/></clipPath>' % (frame, x0, y0 - 4, width, height + 8)]
    for y in marked:
        _, line = at(xs[0], y)
        out.append('<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/>' % (x0, x0 + width, line, line))
        out.append(text(x0 - 6, line + 4, short(y), "end"))
    for x in xs:
        out.append(text(at(x, 0)[0], y0 + height + 15, short(x)))
    for i, s in enumerate(series):
        colour, points = COLOURS[i % len(COLOURS)], sorted(s.points)
        if s.limit:
            out.append('<polyline fill="none" stroke="%s" stroke-dasharray="5 4" clip-path="url(#%s)" points="%s"/>' % (
                colour, frame, " ".join("%.1f,%.1f" % at(*p) for p in sorted(s.limit))))
        out.append('<polyline fill="none" stroke="%s" stroke-width="1.6" points="%s"/>' % (
            colour, " ".join("%.1f,%.1f" % at(x, y) for x, y, _, _ in points)))
        for x, y, least, most in points:
            (a, b), (_, c) = at(x, least), at(x, most)
            out.append('<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="%s"/>' % (a, a, b, c, colour))
            out.append(mark(MARKS[i % len(MARKS)], *at(x, y), colour))
        out.append(mark(MARKS[i % len(MARKS)], x0 + 4 + i * width / len(series), y0 + height + 30, colour))
        out.append(text(x0 + 12 + i * width / len(series), y0 + height + 34, s.name, "start", 10))
    return out


def drawing(title, unit, panels, columns=3):
    """panels: of (title, series)"""
    rows = -(-len(panels) // columns)
    width = columns * (PANEL[0] + GAP) + LEFT - GAP // 2
    height = rows * (PANEL[1] + TOP + BOTTOM + 14) + 40
    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" role="img">' % (width, height),
           "<title>%s</title>" % html.escape(title), '<rect width="100%" height="100%" fill="#fff"/>',
           text(LEFT, 22, title, "start", 13)]
    for i, (name, series) in enumerate(panels):
        out += panel(name, unit, series, LEFT + i % columns * (PANEL[0] + GAP),
                     40 + TOP + i // columns * (PANEL[1] + TOP + BOTTOM + 14))
    return "\n".join(out + ["</svg>"]) + "\n"
