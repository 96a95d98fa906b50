/* folder.c -- from DIR to a listing: which layout it has, and the images in its folders.
 *
 * The class of an image is the name of the folder that it lies in, and nothing else of its path.
 * Folders win over labels.csv, that over IDX files. Hidden files are not seen; whatever else is
 * passed over is counted and said. */
#define _POSIX_C_SOURCE 200809L
#include "data/listing.h"
#include <string.h>
#include <strings.h>

/* Things passed over: how many, and the first of them. */
typedef struct tally {
    int64_t n;
    const char *first; /* path, in the listing's text */
} tally;

typedef struct search {
    tp__listing *l;
    tp__os_list names;           /* in DIR */
    const char *part[TP__PARTS]; /* path of the folder of that part, or NULL */
    enum { FOLDERS, LABELS, IDX } kind;
    bool given;                /* the classes are given: one is enough */
    bool labels, idx;          /* there is a labels.csv, there are IDX files */
    int folders, part_folders; /* class folders with images; of these, such named as parts */
    tally files, folders_inside, loose;
    tally bare;  /* folders named as parts that hold no folders */
    tally other; /* all other folders in DIR */
} search;

/* ---- names ----------------------------------------------------------------------------------- */

bool tp__part_named(const char *name, size_t n, tp_part *part) {
    static const struct {
        const char *name;
        tp_part part;
    } known[] = {{"train", TP_TRAIN}, {"training", TP_TRAIN},   {"valid", TP_VALID},
                 {"val", TP_VALID},   {"validation", TP_VALID}, {"test", TP_TEST},
                 {"testing", TP_TEST}};
    for (int i = 0; i < TP__COUNT(known); i++)
        if (strlen(known[i].name) == n && !memcmp(known[i].name, name, n)) {
            *part = known[i].part;
            return true;
        }
    return false;
}

bool tp__image_named(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot &&
           (!strcasecmp(dot, ".png") || !strcasecmp(dot, ".jpg") || !strcasecmp(dot, ".jpeg"));
}

static bool hidden(const char *name) {
    return name[0] == '.';
}

/* DIR + "/" + name, kept by the listing. */
static const char *join(search *s, const char *dir, const char *name) {
    const size_t n = strlen(dir);
    return tp__listing_text(s->l, dir, n && dir[n - 1] == '/' ? "" : "/", name);
}

static bool is_folder(const char *path) {
    return tp__os_stat(path, NULL) == TP__OS_DIR;
}

static void count(tally *t, const char *path) {
    if (!t->n++) t->first = path;
}

/* ---- class folders --------------------------------------------------------------------------- */

static tp_status add_image(search *s, const char *folder, const char *name, const char *label,
                           tp_part part) {
    const char *path = join(s, folder, name);
    return path ? tp__listing_add(s->l, path, label, part, -1) : TP_ENOMEM;
}

static tp_status pass_over(search *s, const char *folder, const char *name) {
    const char *path = join(s, folder, name);
    if (!path) return TP_ENOMEM;
    count(is_folder(path) ? &s->folders_inside : &s->files, path);
    return TP_OK;
}

static tp_status scan_names(search *s, const char *folder, const tp__os_list *names,
                            const char *label, tp_part part) {
    tp_status r = TP_OK;
    for (int64_t i = 0; !r && i < names->n; i++) {
        const char *name = names->name[i];
        if (hidden(name)) continue;
        r = tp__image_named(name) ? add_image(s, folder, name, label, part)
                                  : pass_over(s, folder, name);
    }
    return r;
}

/* All images of one folder, whose name is their class. */
static tp_status scan_class(search *s, const char *folder, const char *label, tp_part part) {
    tp__listing *l = s->l;
    char room[300];
    if (!tp__utf8_printable(label))
        return tp_error_set(TP_EVALUE, "%s: the name of a class folder must be UTF-8 text",
                            tp__utf8_show(folder, room, sizeof room));
    tp__os_list names;
    tp_status r = tp__os_listdir(folder, &names);
    if (r) return r;
    const int64_t before = l->n;
    tp_part named;
    r = scan_names(s, folder, &names, label, part);
    tp__os_list_free(&names);
    if (r) return r;
    if (l->n == before)
        return tp__listing_note(l, "%s: no images, so not a class",
                                tp__listing_relative(l, folder));
    s->folders++;
    s->part_folders += tp__part_named(label, strlen(label), &named);
    return TP_OK;
}

/* Every folder in `parent` is a class. */
static tp_status scan_classes(search *s, const char *parent, const tp__os_list *names,
                              tp_part part) {
    tp_status r = TP_OK;
    for (int64_t i = 0; !r && i < names->n; i++) {
        if (hidden(names->name[i])) continue;
        const char *path = join(s, parent, names->name[i]);
        if (!path) return TP_ENOMEM;
        if (is_folder(path))
            r = scan_class(s, path, path + strlen(path) - strlen(names->name[i]), part);
        else if (tp__image_named(path))
            count(&s->loose, path);
    }
    return r;
}

/* ---- train/ and valid/ ----------------------------------------------------------------------- */

static tp_status has_folders(search *s, const char *path, bool *has) {
    tp__os_list names;
    tp_status r = tp__os_listdir(path, &names);
    *has = false;
    for (int64_t i = 0; !r && i < names.n && !*has; i++) {
        if (hidden(names.name[i]) || tp__image_named(names.name[i])) continue;
        const char *inner = join(s, path, names.name[i]);
        if (!inner)
            r = TP_ENOMEM;
        else
            *has = is_folder(inner);
    }
    tp__os_list_free(&names);
    return r;
}

static tp_status take_part(search *s, const char *name, const char *path, tp_part part) {
    bool has;
    const tp_status r = has_folders(s, path, &has);
    if (!r && !has) count(&s->bare, path);
    if (r || !has) return r;
    if (s->part[part])
        return tp_error_set(TP_EVALUE, "%s: both %s/ and %s/ are there", s->l->dir,
                            tp__listing_relative(s->l, s->part[part]), name);
    s->part[part] = path;
    return TP_OK;
}

/* Which folders are named as parts and hold folders themselves. */
static tp_status find_parts(search *s) {
    tp_status r = TP_OK;
    for (int64_t i = 0; !r && i < s->names.n; i++) {
        const char *name = s->names.name[i];
        tp_part part;
        if (hidden(name) || tp__image_named(name)) continue;
        const char *path = join(s, s->l->root, name);
        if (!path) return TP_ENOMEM;
        if (!is_folder(path)) continue;
        if (tp__part_named(name, strlen(name), &part))
            r = take_part(s, name, path, part);
        else
            count(&s->other, path);
    }
    return r;
}

/* A folder for training, or nothing but folders of parts: something to evaluate on. */
static bool is_split(const search *s) {
    if (s->part[TP_TRAIN]) return true;
    return (s->part[TP_VALID] || s->part[TP_TEST]) && !s->other.n;
}

static const char *split_layout(search *s) {
    const char *name[TP__PARTS], *text = "";
    int n = 0;
    for (int p = 0; p < TP__PARTS; p++)
        if (s->part[p]) name[n++] = tp__listing_relative(s->l, s->part[p]);
    for (int i = 0; i < n && text; i++) {
        text = tp__listing_text(s->l, text, name[i],
                                i + 1 == n   ? "/ folder"
                                : i + 2 == n ? "/ and "
                                             : "/, ");
    }
    return text && n > 1 ? tp__listing_text(s->l, text, "s", "") : text;
}

static tp_status list_split(search *s) {
    s->l->split = true;
    s->l->layout = split_layout(s);
    tp_status r = s->l->layout ? TP_OK : TP_ENOMEM;
    for (int p = 0; !r && p < TP__PARTS; p++) {
        if (!s->part[p]) continue;
        tp__os_list names;
        r = tp__os_listdir(s->part[p], &names);
        if (!r) r = scan_classes(s, s->part[p], &names, (tp_part)p);
        tp__os_list_free(&names);
    }
    if (!r && !s->l->n)
        r = tp_error_set(TP_EFORMAT, "%s: no images in the class folders of its %s", s->l->dir,
                         s->l->layout);
    return r;
}

/* ---- the other layouts ----------------------------------------------------------------------- */

static tp_status note_part_classes(search *s) {
    tp_status r = TP_OK;
    const char *last = NULL;
    tp_part part;
    for (int64_t i = 0; !r && i < s->l->n; i++) {
        const char *label = s->l->item[i].label;
        if (label != last && tp__part_named(label, strlen(label), &part))
            r = tp__listing_note(
                s->l, "%s/ holds images, not class folders, so it counts as a class", label);
        last = label;
    }
    return r;
}

/* Does a folder look like a data set itself? */
static tp_status looks_right(search *s, const char *path, bool *right) {
    tp__os_list names;
    tp_status r = has_folders(s, path, right);
    if (r || *right) return r;
    r = tp__os_listdir(path, &names);
    for (int64_t i = 0; !r && i < names.n; i++)
        *right |= !strcmp(names.name[i], "labels.csv") || strstr(names.name[i], "-ubyte");
    tp__os_list_free(&names);
    return r;
}

static tp_status fail_nothing(search *s) {
    const char *dir = s->l->dir;
    bool deeper =
        false; /* one folder in DIR, and all else in that one: the user was a level too high */
    const tp_status r = s->other.n == 1 ? looks_right(s, s->other.first, &deeper) : TP_OK;
    if (r) return r;
    char room[300];
    if (deeper)
        return tp_error_set(TP_EFORMAT, "%s: no images; is %s meant?", dir,
                            tp__utf8_show(s->other.first, room, sizeof room));
    if (s->part_folders)
        return tp_error_set(TP_EFORMAT, "%s: %s/ holds images, but no folder per class", dir,
                            s->l->item[0].label);
    if (s->loose.n)
        return tp_error_set(TP_EFORMAT,
                            "%s: %lld images, but no folder per class and no labels.csv", dir,
                            (long long)s->loose.n);
    if (!s->names.n) return tp_error_set(TP_EFORMAT, "%s: an empty folder", dir);
    return tp_error_set(TP_EFORMAT,
                        "%s: no images (neither a folder per class, nor labels.csv, nor IDX files)",
                        dir);
}

/* A layout without class folders: start again; what was passed over does not matter to it. */
static void forget(search *s) {
    tp__listing_reset(s->l);
    s->files = s->folders_inside = s->loose = s->bare = s->other = (tally){0};
}

static tp_status list_labels(search *s) {
    forget(s);
    const char *path = join(s, s->l->root, "labels.csv");
    s->kind = LABELS;
    s->l->layout = "labels.csv";
    return path ? tp__labels_list(s->l, path) : TP_ENOMEM;
}

static tp_status list_idx(search *s) {
    forget(s);
    s->kind = IDX;
    s->l->layout = "IDX files";
    return tp__idx_list(s->l, &s->names);
}

static tp_status list_flat(search *s) {
    tp__listing *l = s->l;
    const tp_status r = scan_classes(s, l->root, &s->names, TP_TRAIN);
    if (r) return r;
    const bool classes =
        s->folders > s->part_folders; /* not just train/ and test/ full of images */
    l->layout = "a folder per class";
    if (classes && (s->folders > 1 || s->given)) {
        s->other.n = s->bare.n = 0; /* they are the classes */
        return note_part_classes(s);
    }
    if (s->labels) return list_labels(s);
    if (s->idx) return list_idx(s);
    return classes ? TP_OK : fail_nothing(s); /* of one class: tp__listing_finish says so */
}

/* ---- what was passed over -------------------------------------------------------------------- */

static tp_status note_tally(search *s, const tally *t, const char *one, const char *many) {
    if (!t->n) return TP_OK;
    const char *first = tp__listing_relative(s->l, t->first);
    if (t->n == 1) return tp__listing_note(s->l, "ignored %s: %s", one, first);
    return tp__listing_note(s->l, "ignored %lld %s, the first of them %s", (long long)t->n, many,
                            first);
}

static tp_status note_unused(search *s) {
    tp__listing *l = s->l;
    tp_status r = TP_OK;
    if (s->kind == FOLDERS && s->labels)
        r = tp__listing_note(l, "ignored labels.csv: the folders name the classes");
    if (!r && s->kind != IDX && s->idx)
        r = tp__listing_note(l, "ignored the IDX files: %s",
                             s->kind == FOLDERS ? "the folders hold images"
                                                : "labels.csv names images");
    return r;
}

static tp_status note_ignored(search *s) {
    const struct {
        const tally *t;
        const char *one, *many;
    } kinds[] = {
        {&s->files, "a file that is not .png, .jpg or .jpeg",
         "files that are not .png, .jpg or .jpeg"},
        {&s->folders_inside, "a folder inside a class folder", "folders inside class folders"},
        {&s->loose, "an image outside the class folders", "images outside the class folders"},
        {&s->bare, "a folder without class folders", "folders without class folders"},
        {&s->other, "a folder", "folders"},
    };
    tp_status r = note_unused(s);
    for (int i = 0; !r && i < TP__COUNT(kinds); i++)
        r = note_tally(s, kinds[i].t, kinds[i].one, kinds[i].many);
    return r;
}

static tp_status find(search *s) {
    tp__listing *l = s->l;
    tp_status r = tp__os_listdir(l->root, &s->names);
    if (r) return r;
    const char *labels = join(s, l->root, "labels.csv");
    if (!labels) return TP_ENOMEM;
    s->labels = tp__os_stat(labels, NULL) == TP__OS_FILE;
    r = tp__idx_present(l, &s->names, &s->idx);
    if (!r) r = find_parts(s);
    if (!r) r = is_split(s) ? list_split(s) : list_flat(s);
    return r ? r : note_ignored(s);
}

tp_status tp__listing_find(const char *dir, const char *const *classes, int nclasses,
                           tp__listing *l) {
    *l = (tp__listing){0};
    char room[300];
    l->root = tp__listing_text(l, dir, "", "");
    l->dir = tp__listing_text(l, tp__utf8_show(dir, room, sizeof room), "", "");
    if (!l->root || !l->dir) return TP_ENOMEM;
    search s = {.l = l, .given = classes != NULL};
    tp_status r = find(&s);
    tp__os_list_free(&s.names);
    return r ? r : tp__listing_finish(l, classes, nclasses);
}
