-- Per state of the reviewer's profile and month; reviewers without a known state count under NULL.
SELECT p.state,
       count(*) AS total_reviews,
       extract(year FROM r.review_time AT TIME ZONE 'UTC')::integer AS review_year,
       extract(month FROM r.review_time AT TIME ZONE 'UTC')::integer AS review_month
FROM dm_core.review AS r
LEFT JOIN dm_core.profile AS p ON p.profile_id = r.profile_id
GROUP BY 1, 3, 4
